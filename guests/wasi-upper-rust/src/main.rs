//! WASI command: standard input with ASCII letters in upper case on standard output. An empty input is an error.

use std::io::{stdin, stdout, Read, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut text = Vec::new();
    stdin().read_to_end(&mut text)?;
    if text.is_empty() {
        return Err("payload: got 0 bytes, expected some text".into());
    }
    text.make_ascii_uppercase();
    stdout().lock().write_all(&text)?;
    Ok(())
}
