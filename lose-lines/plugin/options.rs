//! The arguments of the plugin, each `name=value`.

use std::path::PathBuf;

use crate::lines::{Clflush, Streaming};

/// The values of the plugin's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `streaming=ordinary|evicting`: the effect of a streaming store; ordinary by default.
    pub streaming: Streaming,
    /// `locked=fence|ordinary`: true if an x86 locked access completes write-backs, according to Intel's manual; false if
    /// only SFENCE and MFENCE do. A fence by default.
    pub is_locked_fence: bool,
    /// `clflush=mfence|itself`: how CLFLUSH is completed. If it orders itself, any fence completes it; the default is only
    /// MFENCE.
    pub clflush: Clflush,
    /// `line=BYTES`: the size of a line of the guest's CPU; 64 by default.
    pub line: u64,
    /// `out=FILE`: the file of the verdicts.
    pub out: PathBuf,
}

impl Options {
    /// Parses the arguments.
    ///
    /// # Errors
    /// If an argument is unknown or invalid, or if `out` is missing. The message states the remedy.
    pub fn parse(arguments: &[&str]) -> Result<Self, String> {
        let (mut streaming, mut is_locked_fence, mut line) = (Streaming::Ordinary, true, 64);
        let (mut clflush, mut out) = (Clflush::Mfence, None);
        for argument in arguments {
            match argument.split_once('=') {
                Some(("streaming", "ordinary")) => streaming = Streaming::Ordinary,
                Some(("streaming", "evicting")) => streaming = Streaming::Evicting,
                Some(("locked", "fence")) => is_locked_fence = true,
                Some(("locked", "ordinary")) => is_locked_fence = false,
                Some(("clflush", "mfence")) => clflush = Clflush::Mfence,
                Some(("clflush", "itself")) => clflush = Clflush::Itself,
                Some(("line", bytes)) => line = line_size(bytes)?,
                Some(("out", file)) => out = Some(PathBuf::from(file)),
                _ => return Err(format!("{argument}: {KNOWN}")),
            }
        }
        let out = out.ok_or_else(|| format!("out is missing: {KNOWN}"))?;
        Ok(Self { streaming, is_locked_fence, clflush, line, out })
    }
}

const KNOWN: &str = "the arguments are out=FILE, streaming=ordinary|evicting, locked=fence|ordinary, \
                     clflush=mfence|itself and line=BYTES";

fn line_size(bytes: &str) -> Result<u64, String> {
    match bytes.parse::<u64>() {
        Ok(line) if line.is_power_of_two() => Ok(line),
        _ => Err(format!("line={bytes}: the size of a line must be a power of two, such as 64")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Clflush, Options, Streaming};
    use std::path::PathBuf;

    #[test]
    fn missing_options_have_defaults() {
        let options = Options {
            streaming: Streaming::Ordinary,
            is_locked_fence: true,
            clflush: Clflush::Mfence,
            line: 64,
            out: PathBuf::from("/tmp/a=b"),
        };
        assert_eq!(Options::parse(&["out=/tmp/a=b"]), Ok(options.clone()));
        let told =
            ["line=128", "streaming=evicting", "locked=ordinary", "clflush=itself", "out=/tmp/a=b"];
        let expected = Options {
            streaming: Streaming::Evicting,
            is_locked_fence: false,
            clflush: Clflush::Itself,
            line: 128,
            ..options
        };
        assert_eq!(Options::parse(&told), Ok(expected));
    }

    #[test]
    fn meaningless_options_are_refused() {
        for wrong in ["line=0", "line=48", "line=x", "streaming=maybe", "color=red", "out"] {
            let error = Options::parse(&["out=/tmp/out", wrong]).unwrap_err();
            assert!(error.starts_with(wrong), "{error}");
        }
        assert!(Options::parse(&[]).unwrap_err().starts_with("out is missing"));
    }
}
