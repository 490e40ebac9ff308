//! The arguments of this use of the plugin, each `name=value`.

use std::path::PathBuf;

/// The values of the arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `dma=FILE`: the file for the findings.
    pub out: PathBuf,
    /// `ram=FILE`: the file of the guest's RAM.
    pub ram: PathBuf,
    /// `machine=FILE`: the description of the machine, written before the guest runs.
    pub machine: PathBuf,
    /// `line=BYTES`: the size of a line; 64 by default.
    pub line: u64,
    /// `hooks=on`: follow the emulator's functions for DMA.
    pub has_hooks: bool,
}

const KNOWN: &str = "the arguments are dma=FILE, ram=FILE, machine=FILE, line=BYTES and hooks=on";

impl Options {
    /// Parses the arguments.
    ///
    /// # Errors
    /// If an argument is unknown, invalid or missing. The message states the remedy.
    pub fn parse(arguments: &[&str]) -> Result<Self, String> {
        let (mut line, mut has_hooks) = (64, false);
        let [mut out, mut ram, mut machine] = [None, None, None];
        for argument in arguments {
            match argument.split_once('=') {
                Some(("dma", file)) => out = Some(PathBuf::from(file)),
                Some(("ram", file)) => ram = Some(PathBuf::from(file)),
                Some(("machine", file)) => machine = Some(PathBuf::from(file)),
                Some(("line", bytes)) => line = line_size(bytes)?,
                Some(("hooks", "on")) => has_hooks = true,
                _ => return Err(format!("{argument}: {KNOWN}")),
            }
        }
        let there =
            |value: Option<PathBuf>, name| value.ok_or(format!("{name} is missing: {KNOWN}"));
        let [out, ram, machine] =
            [there(out, "dma")?, there(ram, "ram")?, there(machine, "machine")?];
        Ok(Self { out, ram, machine, line, has_hooks })
    }
}

fn line_size(bytes: &str) -> Result<u64, String> {
    match bytes.parse::<u64>() {
        Ok(line) if line.is_power_of_two() && (16..=2048).contains(&line) => Ok(line),
        _ => {
            Err(format!("line={bytes}: the size of a line must be a power of two from 16 to 2048"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Options;
    use std::path::PathBuf;

    #[test]
    fn files_are_required_and_the_rest_has_defaults() {
        let files = ["dma=/o", "ram=/a=b", "machine=/c"];
        let options = Options {
            out: PathBuf::from("/o"),
            ram: PathBuf::from("/a=b"),
            machine: PathBuf::from("/c"),
            line: 64,
            has_hooks: false,
        };
        assert_eq!(Options::parse(&files), Ok(options.clone()));
        let all = [&files[..], &["line=256", "hooks=on"]].concat();
        assert_eq!(Options::parse(&all), Ok(Options { line: 256, has_hooks: true, ..options }));
        for wrong in ["line=24", "line=4096", "hooks=off", "color=red"] {
            let error = Options::parse(&[&files[..], &[wrong]].concat()).unwrap_err();
            assert!(error.starts_with(wrong), "{error}");
        }
        assert!(Options::parse(&files[..2]).unwrap_err().starts_with("machine is missing"));
    }
}
