//! Checks of states on this system, without root: ext4's journal is replayed, and the files are copied out of the
//! image.
//!
//! # Limits
//! Only a kernel also processes ext4's orphan list: files that were removed while open, and truncations.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::DriveTest;
use super::file_system::FileSystem;
use super::image::Image;
use super::log::DriveLog;
use super::trials::Failure;
use crate::cache;
use crate::command::Cmd;
use crate::temporary::Temporary;

/// The highest exit code of e2fsck(8) that is not a complaint: errors were corrected, and the system should be
/// rebooted.
const CORRECTED: i32 = 2;

pub(super) struct OnHost<'a> {
    test: &'a DriveTest<'a>,
    image: Temporary,
    printed: Temporary,
    files: PathBuf,
}

impl<'a> OnHost<'a> {
    pub(super) fn new(test: &'a DriveTest<'a>, number: usize) -> Self {
        let file = |end| test.kit.work.join(format!("{}-host-{number}.{end}", test.name));
        let [image, printed] = ["image", "printed"].map(|end| Temporary::new(file(end)));
        Self { test, image, printed, files: file("files") }
    }

    /// Checks a state at an event, with the lines printed before it. Returns the failure, if the check failed.
    pub(super) fn check(
        &mut self,
        image: &Image,
        event: usize,
        log: &DriveLog,
    ) -> Result<Option<Failure>> {
        ensure!(
            log.file_system == FileSystem::Ext4,
            "{} cannot be replayed without root; check it in a machine",
            log.file_system
        );
        let Self { test, image: file, printed, files } = self;
        image.save(file)?;
        if let Some(why) = replayed(test, file)? {
            let why = format!("was not begun: the journal cannot be replayed: {why}");
            return Ok(Some(Failure { why, output: String::new() }));
        }
        cache::make_empty(files)?;
        let debugfs = test.kit.program("debugfs")?;
        let copy = format!("rdump / {}", files.display());
        debugfs.arg("-R").arg(copy).arg(file.display().to_string()).ending()?;
        let lines = log.lines_before(event).flat_map(|line| [line, "\n"]).collect::<String>();
        fs::write(&**printed, lines)
            .with_context(|| format!("cannot write {}", printed.display()))?;
        let (check, arguments) = test.check.on_host()?;
        let place = files.display().to_string();
        // The shell merges both outputs.
        let mut command =
            Cmd::new("sh").args(["-c", r#"exec "$0" "$@" 2>&1"#]).arg(check.display().to_string());
        command = command.args(arguments).folder(files);
        command = command.env("TMPDIR", place).env("PRINTED", printed.display().to_string());
        for (name, value) in &test.environment {
            command = command.env(name, value);
        }
        let limit = u32::try_from(test.limit.as_secs())?;
        let (ending, output) = command.limit(limit).ending()?;
        Ok((ending.code != Some(0)).then_some(Failure { why: ending.told, output }))
    }
}

impl Drop for OnHost<'_> {
    fn drop(&mut self) {
        // The directory of the machines is removed as a whole.
        drop(fs::remove_dir_all(&self.files));
    }
}

/// Replays the journal in an image. Returns the complaint if that fails.
pub(super) fn replayed(test: &DriveTest<'_>, image: &std::path::Path) -> Result<Option<String>> {
    let e2fsck = test.kit.program("e2fsck")?;
    let image = image.display().to_string();
    let (ending, output) = e2fsck.words("-fy -E journal_only").arg(image).ending()?;
    let is_complaint = ending.code.is_none_or(|code| code > CORRECTED);
    Ok(is_complaint.then(|| format!("{} {}", ending.told, output.trim_end())))
}
