//! The day that a template may ask for, and how it writes it.
//!
//! What a prompt says must not depend on when it is said, so there is no clock: a caller who wants a date gives one.

use crate::error::{Error, Result};
use std::str::FromStr;

/// A day, such as `2026-11-22`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl FromStr for Date {
    type Err = Error;

    /// # Errors
    /// [`Error::Invalid`] when it is no year, month and day with `-` in between.
    fn from_str(text: &str) -> Result<Self> {
        let problem = || Error::invalid("date", format!("{text:?} is none; 2026-11-22 is one"));
        let numbers: Vec<u16> =
            text.split('-').map(str::parse).collect::<std::result::Result<_, _>>().map_err(|_| problem())?;
        match numbers.as_slice() {
            &[year @ 1..=9999, month @ 1..=12, day @ 1..=31] => Ok(Self { year, month: month as u8, day: day as u8 }),
            _ => Err(problem()),
        }
    }
}

impl Date {
    /// As `strftime` writes it; `None` where `format` asks for more than day, month and year.
    pub(super) fn format(self, format: &str) -> Option<String> {
        let month = MONTHS.get(usize::from(self.month).checked_sub(1)?)?;
        let (mut text, mut signs) = (String::new(), format.chars());
        while let Some(sign) = signs.next() {
            if sign != '%' {
                text.push(sign);
                continue;
            }
            match signs.next()? {
                'd' => text.push_str(&format!("{:02}", self.day)),
                'm' => text.push_str(&format!("{:02}", self.month)),
                'B' => text.push_str(month),
                'b' => text.push_str(month.get(..3)?),
                'Y' => text.push_str(&format!("{:04}", self.year)),
                'y' => text.push_str(&format!("{:02}", self.year % 100)),
                '%' => text.push('%'),
                _ => return None,
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    #[test]
    fn days_are_read_and_written() {
        let date: Date = "2026-03-07".parse().unwrap();
        assert_eq!(date.format("%d %B %Y").unwrap(), "07 March 2026");
        assert_eq!(date.format("%Y-%m-%d, %b %y %%").unwrap(), "2026-03-07, Mar 26 %");
        assert_eq!((date.format("%H:%M"), date.format("%")), (None, None));
        for none in ["", "2026", "2026-13-01", "2026-00-01", "2026-01-32", "2026-1-1-1", "a-b-c", "70000-01-01"] {
            assert!(none.parse::<Date>().is_err(), "{none}");
        }
    }
}
