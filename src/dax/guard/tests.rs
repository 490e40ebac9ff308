//! Guards of paths and trees.

use super::{BootTime, FaultHandler, Guard, Host, Mapper, Work};
use crate::cache::Cache;
use crate::dax::mapping::Mapping;
use crate::dax::system::Plan;
use crate::dax::{Error, ErrorKind, Guarantee};
use crate::medium::Granularity;
use crate::skip::skip;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Instant;

/// The system, except that files get lines where coherency is accepted as persistence, and else pages.
struct LinesIfAccepted;

impl LinesIfAccepted {
    fn of(found: Guarantee, cache: Option<Cache>) -> Guarantee {
        let is_accepted = cache.is_some_and(Cache::accepts_coherency_as_persistence);
        let granularity = if is_accepted { Granularity::Line(64) } else { Granularity::Page(4096) };
        Guarantee { granularity, ..found }
    }
}

impl Mapper for LinesIfAccepted {
    const PERSISTS_VIEWS: bool = true;

    fn guarantee(path: &Path, file: &File, cache: Option<Cache>) -> Result<Guarantee, Error> {
        Host::guarantee(path, file, cache).map(|found| Self::of(found, cache))
    }

    fn guarantee_in(directory: &Path, cache: Option<Cache>) -> Result<Guarantee, Error> {
        Host::guarantee_in(directory, cache).map(|found| Self::of(found, cache))
    }

    fn reserve(_: &File, _: Range<u64>) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn map(_: &Path, _: &File, _: &Plan) -> Result<Mapping, Error> {
        unreachable!("nothing is mapped")
    }
}

#[test]
fn a_path_is_asked_about_with_the_cache_of_the_guard() {
    let test = "a_path_is_asked_about_with_the_cache_of_the_guard";
    let cache = match Cache::builder().accept_coherency_as_persistence().build() {
        Ok(cache) => cache,
        Err(why) => return skip(test, why),
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, [1; 100]).unwrap();
    let installed = FaultHandler::install().unwrap();
    for path in [directory.path(), &file] {
        let refused = Guard::new(installed).add_on::<LinesIfAccepted>(path).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::PageGranular(_)), "{refused}");
        Guard::new(installed).cache(cache).add_on::<LinesIfAccepted>(path).unwrap();
    }
}

/// Passes follow each other, and directories are not read: the interval of the last two says nothing of the file.
#[test]
fn the_interval_of_a_file_that_is_found_late_begins_before_it_came() {
    let directory = tempfile::tempdir().unwrap();
    let mut guard = Guard::new(FaultHandler::install().unwrap()).allow_page_granularity();
    guard.add(directory.path()).unwrap();
    guard.pass();
    guard.watched.deafen();
    fs::write(directory.path().join("new"), [1; 100]).unwrap();
    let came = Instant::now();
    while came.elapsed() < Duration::from_millis(50) {
        assert_eq!(guard.pass_with(|_| ()).files, 0, "nothing reports it");
    }
    let longest = guard.statistics().longest_interval;
    let unknown = came.elapsed();
    assert_eq!(guard.pass().files, 1);
    assert!(guard.statistics().longest_interval >= unknown, "{longest:?} of {unknown:?}");
}

/// The lines of the file are written back once more, and without a fence nothing says that they have arrived.
#[test]
fn the_last_file_that_leaves_the_tree_is_fenced() {
    let (tree, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Ok(cache) = Cache::host() else {
        return skip("the_last_file_that_leaves_the_tree_is_fenced", "no cache");
    };
    let mut guard = Guard::new(FaultHandler::install().unwrap()).allow_page_granularity();
    guard.add(tree.path()).unwrap();
    fs::write(tree.path().join("file"), [1; 100]).unwrap();
    guard.pass();
    guard.watched.take_lines(cache);
    fs::rename(tree.path().join("file"), elsewhere.path().join("file")).unwrap();
    let Guard { installed, ref options, ref mut watched, .. } = guard;
    let (began, mut problems) = (BootTime::now(), Vec::new());
    watched.look_again();
    watched.look(&mut Work { options, installed, began, problems: &mut problems });
    assert_eq!(watched.files().count(), 0);
    assert_eq!(watched.caches().len(), 1);
}

/// A bound without it would be believed to be its own.
#[test]
fn a_file_that_cannot_be_guarded_is_outside_of_each_pass() {
    let directory = tempfile::tempdir().unwrap();
    let mut guard = Guard::new(FaultHandler::install().unwrap()).allow_page_granularity();
    guard.add(directory.path()).unwrap();
    fs::write(directory.path().join("file"), [1; 100]).unwrap();
    guard.pass();
    guard.options = super::Options::new();
    fs::write(directory.path().join("refused"), [1; 100]).unwrap();
    if guard.pass().files == 2 {
        let name = "a_file_that_cannot_be_guarded_is_outside_of_each_pass";
        return skip(name, "files are on DAX here");
    }
    let pass = guard.pass();
    assert_eq!((pass.files, pass.outside, pass.problems.len()), (1, 1, 0), "reported before");
    assert_eq!((guard.statistics().outside, guard.statistics().problems), (1, 1));
}
