//! WASI command: each line of standard input is an order about files; its result is a line of standard output.
//!
//! Orders: `read PATH`, `write PATH TEXT`, `append PATH TEXT`, `list PATH`, `size PATH`, `mkdir PATH`, `remove PATH`,
//! `rmdir PATH`, `rename PATH PATH`, `seek PATH OFFSET`, `env NAME`. What fails is answered with `error: ` and why.

use std::fs::{self, File, OpenOptions};
use std::io::{self, stdin, BufRead, Read, Seek, SeekFrom, Write};

fn main() {
    for line in stdin().lock().lines() {
        let line = line.expect("orders are text");
        match obey(&line) {
            Ok(text) => println!("{text}"),
            Err(error) => println!("error: {:?}", error.raw_os_error()),
        }
    }
}

fn obey(line: &str) -> io::Result<String> {
    let mut words = line.splitn(3, ' ');
    let order = words.next().unwrap_or("");
    let path = words.next().unwrap_or("");
    let rest = words.next().unwrap_or("");
    match order {
        "read" => fs::read_to_string(path),
        "write" => fs::write(path, rest).map(|()| "written".into()),
        "append" => {
            let mut file = OpenOptions::new().append(true).open(path)?;
            file.write_all(rest.as_bytes())?;
            file.sync_all()?;
            Ok("appended".into())
        }
        "list" => {
            let names = fs::read_dir(path)?.map(|entry| {
                let entry = entry?;
                let mark = if entry.file_type()?.is_dir() { "/" } else { "" };
                Ok(format!("{}{mark}", entry.file_name().to_string_lossy()))
            });
            let mut names = names.collect::<io::Result<Vec<String>>>()?;
            names.sort();
            Ok(names.join(" "))
        }
        "size" => fs::metadata(path).map(|found| found.len().to_string()),
        "mkdir" => fs::create_dir(path).map(|()| "made".into()),
        "remove" => fs::remove_file(path).map(|()| "removed".into()),
        "rmdir" => fs::remove_dir(path).map(|()| "removed".into()),
        "rename" => fs::rename(path, rest).map(|()| "renamed".into()),
        "seek" => {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::End(-rest.parse::<i64>().unwrap_or(0)))?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            Ok(text)
        }
        "env" => Ok(std::env::var(path).unwrap_or_else(|_| "unset".into())),
        _ => Ok("no such order".into()),
    }
}
