//! Pictures, decoded by the host.

use crate::error::Error;
use crate::host;

/// Decode a JPEG and resize it to exactly `width` x `height` pixels, without keeping its proportions.
///
/// Returns `width * height * 3` bytes: rows from the top, pixels from the left, red, green, blue, 0 to 255.
///
/// # Errors
/// The bytes are no JPEG that the host could decode (broken, cut short, too many pixels), or a size is 0 or too large.
pub fn decode_jpeg_rgb8(jpeg: &[u8], width: u32, height: u32) -> Result<Vec<u8>, Error> {
    let size = (width as usize)
        .checked_mul(height as usize)
        .and_then(|pixels| pixels.checked_mul(3))
        .filter(|&size| size > 0 && size <= isize::MAX as usize)
        .ok_or_else(|| {
            Error::new(format!(
                "picture size: got {} x {}, expected at least 1 x 1 and less than 2 GiB of pixels",
                width, height
            ))
        })?;
    let mut pixels = vec![0; size];
    match host::load_jpg_rgb8(jpeg, width, height, &mut pixels) {
        0 => Ok(pixels),
        _ => Err(Error::new("payload is no JPEG the host could decode")),
    }
}
