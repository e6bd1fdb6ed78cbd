//! The answer as JSON. Pure; tested on the build machine.
//!
//! Written by hand: a JSON library would double the size of the guest.

/// One JSON object. `confidence` is from 0 to 1 and is written with at most four decimals.
pub fn json(label: Option<&str>, confidence: f32, index: usize) -> String {
    let mut text = String::from("{\"label\":");
    match label {
        Some(label) => push_string(&mut text, label),
        None => text.push_str("null"),
    }
    text.push_str(",\"confidence\":");
    push_fraction(&mut text, confidence);
    text.push_str(",\"index\":");
    text.push_str(&index.to_string());
    text.push('}');
    text
}

/// A JSON string: quotes, backslashes and control characters escaped, everything else as UTF-8.
fn push_string(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{0}'..='\u{1f}' | '\u{7f}' => push_escape(text, character as u32),
            _ => text.push(character),
        }
    }
    text.push('"');
}

/// `\u00XX`.
fn push_escape(text: &mut String, code: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.push_str("\\u00");
    text.push(char::from(DIGITS[(code >> 4 & 0xf) as usize]));
    text.push(char::from(DIGITS[(code & 0xf) as usize]));
}

/// 0 to 1 with one to four decimals. Formatting floats in general would cost 20 KB of guest.
fn push_fraction(text: &mut String, value: f32) {
    let parts = (value.clamp(0.0, 1.0) * 10_000.0).round() as u32;
    let digits = (10_000 + parts % 10_000).to_string();
    text.push(if parts >= 10_000 { '1' } else { '0' });
    text.push('.');
    let decimals = digits[1..].trim_end_matches('0');
    text.push_str(if decimals.is_empty() { "0" } else { decimals });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_one_object() {
        assert_eq!(
            json(Some("hot dog"), 0.93, 935),
            r#"{"label":"hot dog","confidence":0.93,"index":935}"#
        );
    }

    #[test]
    fn no_label_is_null() {
        assert_eq!(json(None, 0.5, 0), r#"{"label":null,"confidence":0.5,"index":0}"#);
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(
            json(Some("a\"b\\c\nd\u{1}é"), 1.0, 1),
            "{\"label\":\"a\\\"b\\\\c\\nd\\u0001é\",\"confidence\":1.0,\"index\":1}"
        );
    }

    #[test]
    fn confidences_have_one_to_four_decimals() {
        for (value, expected) in [
            (0.0, "0.0"),
            (0.000_04, "0.0"),
            (0.000_1, "0.0001"),
            (0.05, "0.05"),
            (0.123_456, "0.1235"),
            (0.999_99, "1.0"),
            (1.0, "1.0"),
            (1.000_1, "1.0"),
            (f32::NAN, "0.0"),
        ] {
            let mut text = String::new();
            push_fraction(&mut text, value);
            assert_eq!(text, expected, "{}", value);
        }
    }
}
