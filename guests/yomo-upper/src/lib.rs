//! A guest for YoMo 1.17 hosts, built with its real SDK: shows that such guests run without a change.

/// Frames to get.
#[yomo::observe_datatags]
fn observe_datatags() -> Vec<u32> {
    vec![0x10]
}

#[yomo::init]
fn init() -> anyhow::Result<()> {
    println!("upper case from 0x10 to 0x11");
    Ok(())
}

/// The payload with ASCII letters in upper case, on the next tag. The SDK has no way to report a failure but a panic.
#[yomo::handler]
fn handler(ctx: yomo::Context) -> anyhow::Result<()> {
    let input = ctx.load_input();
    assert!(!input.is_empty(), "payload: got 0 bytes, expected some text");
    ctx.dump_output(ctx.get_tag() + 1, input.to_ascii_uppercase());
    Ok(())
}
