//! From RGB bytes to what a model's input stores. Pure; tested on the build machine.

/// 32-bit floats from 0 to 1, little-endian: the byte divided by 255.
pub fn to_f32(picture: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(picture.len() * 4);
    for &byte in picture {
        data.extend_from_slice(&(f32::from(byte) / 255.0).to_le_bytes());
    }
    data
}

/// Signed bytes, in place.
pub fn to_i8(mut picture: Vec<u8>, scale: f32, zero_point: i32) -> Vec<u8> {
    let mut stored = [0_u8; 256];
    for (byte, entry) in (0_u8..=255).zip(stored.iter_mut()) {
        *entry = level(byte, scale, zero_point) as u8;
    }
    for byte in &mut picture {
        *byte = stored[usize::from(*byte)];
    }
    picture
}

/// What an i8 input stores for this byte of a picture.
///
/// The real values that the input can hold tell how its author scaled pictures: 0 to 1, or 0 to 255. Anything else (-1
/// to 1, mean and deviation, no quantisation given) covers a picture from black to white: the levels map one to one.
fn level(byte: u8, scale: f32, zero_point: i32) -> i8 {
    let lowest = scale * (-128 - zero_point) as f32;
    let highest = scale * (127 - zero_point) as f32;
    let near = |white: f32| lowest.abs() < 0.1 * white && (highest - white).abs() < 0.1 * white;
    let real = if near(1.0) {
        f32::from(byte) / 255.0
    } else if near(255.0) {
        f32::from(byte)
    } else {
        return (i16::from(byte) - 128) as i8;
    };
    // `as` saturates.
    ((real / scale).round() + zero_point as f32) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_run_from_zero_to_one() {
        let floats = to_f32(&[0, 51, 255]);
        let expected: Vec<u8> = [0.0_f32, 0.2, 1.0].iter().flat_map(|f| f.to_le_bytes()).collect();
        assert_eq!(floats, expected);
    }

    #[test]
    fn unit_range_byte_range_and_signed_range_all_use_every_level() {
        for (scale, zero_point) in [
            (1.0 / 255.0, -128),
            (1.0, -128),
            (1.0 / 127.5, 0),
            (0.0186, -14),
            (0.0, 0),
        ] {
            let levels = to_i8(vec![0, 1, 128, 255], scale, zero_point);
            assert_eq!(
                levels,
                [0x80, 0x81, 0x00, 0x7f],
                "scale {} zero point {}",
                scale,
                zero_point
            );
        }
    }

    #[test]
    fn a_slightly_narrower_unit_range_saturates_white() {
        assert_eq!(to_i8(vec![0, 250, 255], 0.98 / 255.0, -128), [0x80, 0x7f, 0x7f]);
    }
}
