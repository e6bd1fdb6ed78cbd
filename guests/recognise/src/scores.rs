//! From what a model's output stores to the best class. Pure; tested on the build machine.

/// How an output stores its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    U8,
    I8,
    F32,
}

/// The most likely class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    pub index: usize,
    /// 0 to 1.
    pub confidence: f32,
}

/// The numbers that `bytes` stand for. `scale` 0: not quantised, the stored number is the value.
pub fn real_values(bytes: &[u8], stored: Stored, scale: f32, zero_point: i32) -> Vec<f32> {
    let real = |number: i32| {
        if scale == 0.0 {
            number as f32
        } else {
            scale * (number - zero_point) as f32
        }
    };
    match stored {
        Stored::U8 => bytes.iter().map(|&byte| real(i32::from(byte))).collect(),
        Stored::I8 => bytes.iter().map(|&byte| real(i32::from(byte as i8))).collect(),
        Stored::F32 => bytes
            .chunks_exact(4)
            .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect(),
    }
}

/// The class with the highest score, the first of equals; `None` when no score is finite.
pub fn best(scores: &[f32], scale: f32) -> Option<Best> {
    let mut found: Option<(usize, f32)> = None;
    for (index, &score) in scores.iter().enumerate() {
        if score.is_finite() && found.map_or(true, |(_, highest)| score > highest) {
            found = Some((index, score));
        }
    }
    let (index, highest) = found?;
    let confidence = if are_probabilities(scores, scale) {
        highest
    } else {
        // Softmax of the highest: its own exponential is exp(0) = 1.
        let sum: f32 = scores
            .iter()
            .filter(|score| score.is_finite())
            .map(|score| (score - highest).exp())
            .sum();
        1.0 / sum
    };
    Some(Best { index, confidence })
}

/// Whether the scores already are probabilities: all from 0 to 1, and together about 1.
///
/// Each stored score may be off by half a step, and with many classes most are too small to be stored at all, so the
/// sum of quantised ones may be off by half a step for each class.
fn are_probabilities(scores: &[f32], scale: f32) -> bool {
    let sum: f32 = scores.iter().sum();
    let tolerance = 0.02 + 0.5 * scale * scores.len() as f32;
    scores.iter().all(|score| (0.0..=1.0).contains(score)) && (sum - 1.0).abs() <= tolerance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_numbers_become_real_by_scale_and_zero_point() {
        assert_eq!(real_values(&[0, 128, 255], Stored::U8, 0.5, 128), [-64.0, 0.0, 63.5]);
        assert_eq!(
            real_values(&[0x80, 0, 0x7f], Stored::I8, 1.0 / 256.0, -128),
            [0.0, 0.5, 255.0 / 256.0]
        );
        assert_eq!(real_values(&[7], Stored::U8, 0.0, 0), [7.0]);
        assert_eq!(real_values(&1.5_f32.to_le_bytes(), Stored::F32, 0.0, 0), [1.5]);
    }

    #[test]
    fn probabilities_stay_as_they_are() {
        assert_eq!(
            best(&[0.1, 0.7, 0.2], 0.0),
            Some(Best {
                index: 1,
                confidence: 0.7
            })
        );
    }

    #[test]
    fn quantised_probabilities_whose_small_ones_were_lost_stay_as_they_are() {
        let mut scores = vec![0.0; 1001];
        scores[935] = 0.4;
        assert_eq!(
            best(&scores, 1.0 / 256.0),
            Some(Best {
                index: 935,
                confidence: 0.4
            })
        );
    }

    #[test]
    fn logits_go_through_softmax() {
        let found = best(&[1.0, 3.0, -2.0], 0.0).unwrap();
        assert_eq!(found.index, 1);
        assert!((found.confidence - 0.875_6).abs() < 1e-4, "{}", found.confidence);
    }

    #[test]
    fn small_scores_that_do_not_add_up_go_through_softmax() {
        let found = best(&[0.5, 0.9, 0.9], 0.0).unwrap();
        assert_eq!(found.index, 1);
        assert!(found.confidence < 0.4, "{}", found.confidence);
    }

    #[test]
    fn numbers_that_are_not_finite_never_win() {
        assert_eq!(
            best(&[f32::NAN, 2.0, f32::INFINITY], 0.0),
            Some(Best {
                index: 1,
                confidence: 1.0
            })
        );
        assert_eq!(best(&[f32::NAN], 0.0), None);
        assert_eq!(best(&[], 0.0), None);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        assert_eq!(
            best(&[1e30, -1e30], 0.0),
            Some(Best {
                index: 0,
                confidence: 1.0
            })
        );
    }
}
