/// A number's decimal digits, for headers full of numbers: a formatter costs ten times as much.
pub(crate) struct Decimal {
    text: [u8; Self::LONGEST],
    start: usize,
}

impl Decimal {
    /// The smallest `i64` with its sign.
    const LONGEST: usize = 20;

    pub(crate) fn of(value: i64) -> Self {
        let mut number = Self { text: [0; Self::LONGEST], start: Self::LONGEST };
        let mut rest = value.unsigned_abs();
        let minus = (value < 0).then_some(b'-');
        for place in number.text.iter_mut().rev() {
            number.start -= 1;
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if let Some(minus) = minus
            && let Some(place) = number.text.get_mut(number.start - 1)
        {
            *place = minus;
            number.start -= 1;
        }
        number
    }

    pub(crate) fn as_str(&self) -> &str {
        let digits = self.text.get(self.start..).unwrap_or_default();
        std::str::from_utf8(digits).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_written_as_by_a_formatter() {
        let ends = [i64::MIN, i64::MAX, -1, 0, 1, 9, 10, -10, 99, 100];
        let powers = (0..63).flat_map(|power| [1i64 << power, -(1i64 << power), (1i64 << power) - 1]);
        for value in ends.into_iter().chain(powers) {
            assert_eq!(Decimal::of(value).as_str(), value.to_string());
        }
    }
}
