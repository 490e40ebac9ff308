//! A failure as a drawing: time goes to the right, each line of memory is a row of its words.
//!
//! `stores` finds the state of each store after the crash, `layout` gives everything its place, and `drawing` writes it
//! by `elements`.

mod drawing;
mod elements;
mod layout;
mod stores;

use super::Failure;
use alloc::string::String;
use core::fmt;
use layout::Layout;

impl Failure {
    /// Draws the failure, in SVG: time goes to the right, each line of memory is a row of its words. Stores are red
    /// where they are lost, amber where they are kept by chance, hollow where recovery did not read them, and green
    /// where they are persistent. The state of each word after a crash stands beside its line, and recovery goes on
    /// behind it. Each mark has its place in the source as a tooltip; the numbers are those of the text. The
    /// [advice](Self::advice) is below.
    ///
    /// Of each run the last 60 events are drawn. The page is light or dark, as the reader's other pages are. The same
    /// failure gives the same drawing.
    #[must_use]
    pub fn svg(&self) -> String {
        let layout = Layout::new(self);
        let mut out = String::new();
        // A string takes all that is written to it.
        match layout.write(&mut out) {
            Ok(()) | Err(fmt::Error) => out,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::medium::{Medium, Readable};
    use crate::sim::{Failure, Model, SimMedium, Simulation, Violation};
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use core::sync::atomic::Ordering::Relaxed;

    /// Stores two words of a line and one of another one, of which the last is published too early.
    fn workload(medium: &SimMedium, notes: &crate::sim::Notes<'_, &str>) {
        medium.write(0, &[1; 16]);
        medium.issue_writeback(0..16).unwrap();
        medium.store(64, 1, Relaxed);
        medium.persist(64..72).unwrap();
        notes.add("a < b & \"c\"");
    }

    fn failure(recovery: impl Fn(&SimMedium) -> bool, model: Model) -> Failure {
        let judge = |medium: &SimMedium, _notes: &[&str]| {
            Violation::unless(recovery(medium), || "1 < 2 & <so on>".to_string())
        };
        let exploration = Simulation::new(model, 192).zeros().explore(workload, judge);
        exploration.failure.as_deref().expect("a failure").clone()
    }

    /// Returns the failure of a workload that publishes without the first word.
    fn published_early() -> Failure {
        let is_right = |medium: &SimMedium| medium.load(64, Relaxed) <= medium.load(0, Relaxed);
        failure(is_right, Model::NEUTRAL)
    }

    /// Returns the failure of a recovery that marks its work before that is persistent.
    fn recovered_twice() -> Failure {
        let is_right = |medium: &SimMedium| {
            if medium.load(136, Relaxed) == 1 {
                return medium.load(128, Relaxed) == 1;
            }
            medium.store(128, 1, Relaxed);
            medium.store(136, 1, Relaxed);
            medium.persist(128..144).unwrap();
            true
        };
        failure(is_right, Model::ARM64)
    }

    /// Checks the names of elements, each closed where it must be.
    fn assert_well_formed(svg: &str) {
        let mut open: Vec<&str> = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').expect("a tag ends");
            assert!(!text.contains(['>', '"']), "escaped: {text}");
            let name = tag.trim_start_matches('/').split([' ', '/']).next().expect("a name");
            match (tag.starts_with('/'), tag.ends_with('/')) {
                (true, _) => assert_eq!(open.pop(), Some(name)),
                (_, true) => {}
                _ => open.push(name),
            }
            assert_eq!(tag.matches('"').count() % 2, 0, "quoted: {tag}");
        }
        assert!(open.is_empty());
        for entity in svg.split('&').skip(1) {
            let is_known =
                ["lt;", "gt;", "amp;", "quot;"].iter().any(|name| entity.starts_with(name));
            assert!(is_known, "{entity}");
        }
    }

    fn titles(svg: &str) -> Vec<&str> {
        let title = |part: &'_ str| part.find("</title>");
        svg.split("<title>").skip(1).map(|part| &part[..title(part).expect("it ends")]).collect()
    }

    #[test]
    fn a_drawing_is_well_formed_and_always_the_same() {
        for failure in [published_early(), recovered_twice()] {
            let svg = failure.svg();
            assert_well_formed(&svg);
            assert_eq!(svg, failure.svg());
            assert!(svg.contains("&lt;so on&gt;"));
        }
    }

    #[test]
    fn each_mark_names_its_place_once() {
        for failure in [published_early(), recovered_twice()] {
            let svg = failure.svg();
            let places = titles(&svg).into_iter().filter(|title| *title != "crash");
            let crashes = failure.crashes.iter();
            let drawn = crashes.flat_map(|crash| (0..crash.end).map(|event| crash.event(event)));
            let expected: Vec<String> = drawn.map(|event| event.place.to_string()).collect();
            let found: Vec<_> = places.map(|title| title.split(": ").next().unwrap()).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_store_that_is_lost_is_red() {
        let svg = published_early().svg();
        let (_, lost) = svg.split_once("store 0x0..0x10, torn").expect("the lost store");
        let (mark, _) = lost.split_once("</g>").expect("its end");
        assert!(mark.contains(super::elements::RED), "{mark}");
        let (_, kept) = svg.split_once("store 0x40, kept by chance").expect("the store after it");
        let (mark, _) = kept.split_once("</g>").expect("its end");
        assert!(
            mark.contains(super::elements::AMBER) && !mark.contains(super::elements::RED),
            "{mark}"
        );
    }

    /// A colour without a rule would be that of a light page.
    #[test]
    fn each_colour_has_another_one_on_a_dark_page() {
        for failure in [published_early(), recovered_twice()] {
            let svg = failure.svg();
            let (style, drawing) = svg.split_once("</style>").expect("a style sheet");
            let (_, style) = style.split_once("prefers-color-scheme:dark").expect("a dark page");
            for attribute in ["fill=", "stroke="] {
                for rest in drawing.split(attribute).skip(1) {
                    let colour = rest.split('"').nth(1).expect("a quoted colour");
                    assert!(style.contains(&alloc::format!("[{attribute}'{colour}']")), "{colour}");
                }
            }
        }
    }

    /// Returns the texts below each other as one.
    fn words(svg: &str) -> String {
        let texts = svg.split("<text ").skip(1).filter_map(|part| part.split_once("</text>"));
        let texts: Vec<_> =
            texts.filter_map(|(text, _)| text.split_once('>')).map(|(_, text)| text).collect();
        texts.join(" ")
    }

    #[test]
    fn the_advice_of_the_text_is_below_the_drawing() {
        for failure in [published_early(), recovered_twice()] {
            let words = words(&failure.svg());
            assert!(!failure.advice().is_empty());
            for advice in failure.advice() {
                assert!(words.contains(&super::elements::escaped(&advice)), "{advice}\n{words}");
            }
        }
    }

    #[test]
    fn a_store_that_recovery_does_not_read_is_hollow() {
        let svg = failure(|medium| medium.load(64, Relaxed) == 0, Model::NEUTRAL).svg();
        let (_, unread) = svg.split_once("store 0x0..0x10, not read").expect("the unread store");
        let (mark, _) = unread.split_once("</g>").expect("its end");
        assert!(mark.contains("fill=\"#ffffff\""), "{mark}");
        assert!(svg.contains("store 0x40, kept by chance"), "{svg}");
    }

    /// The store is in two lines. One is persistent, and recovery does not read the other one.
    #[test]
    fn a_store_that_recovery_reads_in_part_has_the_fate_of_the_text() {
        let outcome = Simulation::new(Model::X86, 128).zeros().explore(
            |medium, notes| {
                medium.write(56, &[1; 16]);
                medium.persist(56..64).unwrap();
                notes.add("done");
            },
            |medium: &SimMedium, notes: &[&str]| {
                let is_right = notes.is_empty() || medium.load(56, Relaxed) == 0;
                Violation::unless(is_right, || "done".into())
            },
        );
        let failure = outcome.failure.as_deref().expect("a failure");
        let (text, svg) = (failure.to_string(), failure.svg());
        assert!(text.contains("kept by chance\n") && !text.contains("not read"), "{text}");
        assert!(svg.contains("store 0x38..0x48, kept by chance"), "{svg}");
    }

    #[test]
    fn a_long_run_is_drawn_without_its_beginning() {
        let outcome = Simulation::new(Model::X86, 8 * 64).zeros().explore(
            |medium, notes| {
                (0..60).for_each(|word| medium.store(word * 8, 1, Relaxed));
                medium.store(63 * 8, 1, Relaxed);
                medium.persist(0..64).unwrap();
                notes.add("done");
            },
            |medium, notes| {
                let is_there = notes.is_empty() || medium.load(63 * 8, Relaxed) == 1;
                Violation::unless(is_there, || "gone".into())
            },
        );
        let svg = outcome.failure.as_deref().expect("only one line is written back").svg();
        assert!(svg.contains("without its first 4 events"), "{svg}");
        assert_eq!(titles(&svg).len(), super::layout::EVENTS + 1);
    }

    #[test]
    fn a_kill_has_its_sign_in_the_key() {
        let outcome = Simulation::new(Model::X86, 64).zeros().explore(
            |medium, notes| {
                medium.store(0, 1, Relaxed);
                medium.killed();
                notes.add("done");
            },
            |medium, notes| {
                let is_there = notes.is_empty() || medium.load(0, Relaxed) == 1;
                Violation::unless(is_there, || "gone".into())
            },
        );
        let svg = outcome.failure.as_deref().expect("nothing is written back").svg();
        assert_well_formed(&svg);
        assert!(svg.contains(">kill</text>"), "{svg}");
        assert!(!published_early().svg().contains(">kill</text>"));
    }

    #[test]
    fn a_workload_that_panics_has_a_drawing_too() {
        let outcome = Simulation::new(Model::X86, 64).zeros().explore(
            |medium, _notes: &crate::sim::Notes<'_, ()>| {
                medium.store(0, 1, Relaxed);
                medium.load(1, Relaxed);
            },
            |_, _| Ok(()),
        );
        let svg = outcome.failure.as_deref().expect("a panic").svg();
        assert_well_formed(&svg);
        assert!(!svg.contains(">crash<"));
    }
}
