//! What several measures of one thing say together.

/// The middle of several samples, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    /// Half of the samples are at least this, and half at most.
    pub(crate) median: f64,
    /// The middle half of the samples lies within the median and this share of it, on an average of both sides.
    pub(crate) spread: f64,
}

impl Summary {
    /// That of some samples, if there are any.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let [low, median, high] = [0.25, 0.5, 0.75].map(|share| quantile(&sorted, share));
        let (low, median, high) = (low?, median?, high?);
        let spread = if median == 0.0 { 0.0 } else { (high - low) / 2.0 / median };
        Some(Self { median, spread })
    }
}

/// Between two samples, it lies on the straight line that joins them.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let [below, above] = [place.floor(), place.ceil()].map(|place| sorted.get(place as usize).copied());
    let (below, above) = (below?, above?);
    Some(below + (above - below) * place.fract())
}

/// A whole number, with its thousands apart.
pub(crate) fn count(number: u32) -> String {
    grouped(&number.to_string())
}

/// A number with three digits that tell something, thousands apart.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        at if at >= 99.95 || at == 0.0 => 0,
        at if at >= 9.995 => 1,
        at if at >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    format!("{}{rest}", grouped(whole))
}

/// Digits with a comma before each three.
fn grouped(digits: &str) -> String {
    let length = digits.len();
    let place = |(index, digit): (usize, char)| {
        let comma = (index > 0 && (length - index).is_multiple_of(3)).then_some(',');
        comma.into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Summary::of(&[3.0, 1.0, 2.0]).unwrap().median, 2.0);
        assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn one_outlier_of_five_does_not_spread() {
        assert_eq!(
            Summary::of(&[10.0, 9.0, 1000.0, 11.0, 10.0]),
            Some(Summary { median: 10.0, spread: 0.05 })
        );
        assert_eq!(Summary::of(&[7.0]), Some(Summary { median: 7.0, spread: 0.0 }));
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0, 999, 1000, 1_000_000].map(count), ["0", "999", "1,000", "1,000,000"]);
    }

    #[test]
    fn numbers_have_three_digits_that_tell() {
        let all = [0.0, 0.012_34, 0.5, 1.234, 12.34, 99.99, 123.4, 1_355_000.4].map(number);
        assert_eq!(all, ["0", "0.012", "0.500", "1.23", "12.3", "100", "123", "1,355,000"]);
    }
}
