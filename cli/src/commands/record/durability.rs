//! The time at which events are made persistent, as the command line states it.

use crate::commands::time;
use cachemaint_recorder as recorder;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    AtEnd,
    Within(Duration),
    SubBuffer,
    EachAppend,
}

impl Durability {
    /// Returns the durability of the library, which acts when an event is recorded.
    pub(super) const fn on_the_path(self) -> recorder::Durability {
        match self {
            Self::AtEnd | Self::Within(_) => recorder::Durability::OnRequest,
            Self::SubBuffer => recorder::Durability::SubBuffer,
            Self::EachAppend => recorder::Durability::EachAppend,
        }
    }
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "at-end" => Ok(Self::AtEnd),
            "sub-buffer" => Ok(Self::SubBuffer),
            "each-append" => Ok(Self::EachAppend),
            _ => time::parse(text).map(Self::Within).ok_or_else(|| {
                "use at-end, sub-buffer, each-append, or a time such as 10ms or 1s".to_owned()
            }),
        }
    }
}

/// The text that follows "persistent".
impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtEnd => f.write_str("at the end of the command"),
            Self::Within(time) => write!(f, "within about {time:?}"),
            Self::SubBuffer => {
                f.write_str("when the next sub-buffer begins, and at the end of the command")
            }
            Self::EachAppend => f.write_str("when they are passed on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Durability;
    use core::time::Duration;

    #[test]
    fn a_durability_is_a_word_or_a_time() {
        assert_eq!("at-end".parse(), Ok(Durability::AtEnd));
        assert_eq!("each-append".parse(), Ok(Durability::EachAppend));
        assert_eq!("10ms".parse(), Ok(Durability::Within(Duration::from_millis(10))));
        assert_eq!("1s".parse(), Ok(Durability::Within(Duration::from_secs(1))));
        for wrong in ["", "never", "0s", "-1s", "10"] {
            assert!(wrong.parse::<Durability>().is_err(), "{wrong}");
        }
    }
}
