//! The arguments of a plugin that loses lines, each `name=value`.

use std::path::PathBuf;

use super::model::{Clflush, Event, Model, Point, Streaming};
use super::words::LINE;
use crate::policy::Policy;

/// The values of the arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `live=FILE`: the file of the memory that the guest sees.
    pub live: PathBuf,
    /// `offset=BYTES`: the offset in that file at which the memory begins; 0 by default.
    pub offset: u64,
    /// `persisted=FILE`: the file of the memory that has persisted.
    pub persisted: PathBuf,
    /// `base=ADDRESS`: the guest-physical address of the memory.
    pub base: u64,
    /// `size=BYTES`: the length of the memory.
    pub size: u64,
    /// `reset=ADDRESS`: the address of the first instruction after a reset, where virtual addresses are physical.
    pub reset: u64,
    /// `resumed=yes`: the machine resumes from a file and executes no reset vector. Anything that the previous emulator
    /// has not made persistent is lost at once.
    pub is_resumed: bool,
    /// `out=FILE`: the file to which the plugin appends its lines.
    pub out: PathBuf,
    /// The other options: `seed=NUMBER`, `policy=NAME`, `clflush=itself|mfence`, `point=coherency|persistence`,
    /// `user-streaming=ordinary|evicting`, `user-locked=fence|ordinary`, the same for `kernel-…`,
    /// `stores=followed`, `lines=told|watched`, `lost=LINE:LINE:…`, `evict=N`, `cut=EVENT:N`.
    pub model: Model,
}

const KNOWN: &str = "no such argument or value: the module losses::options lists them";

impl Options {
    /// Parses the arguments.
    ///
    /// # Errors
    /// If an argument is unknown or invalid, or if a file or the memory's place is missing. The message names it.
    pub fn parse(arguments: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            live: PathBuf::new(),
            offset: 0,
            persisted: PathBuf::new(),
            base: 0,
            size: 0,
            reset: 0xffff_fff0,
            is_resumed: false,
            out: PathBuf::new(),
            model: Model::default(),
        };
        for argument in arguments {
            argument
                .split_once('=')
                .and_then(|(name, value)| options.take(name, value))
                .ok_or_else(|| format!("{argument}: {KNOWN}"))?;
        }
        options.whole()
    }

    fn take(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "live" => self.live = PathBuf::from(value),
            "persisted" => self.persisted = PathBuf::from(value),
            "out" => self.out = PathBuf::from(value),
            "offset" => self.offset = number(value)?,
            "base" => self.base = number(value)?,
            "size" => self.size = number(value)?,
            "reset" => self.reset = number(value)?,
            "resumed" if value == "yes" => self.is_resumed = true,
            _ => return self.take_of_model(name, value),
        }
        Some(())
    }

    fn take_of_model(&mut self, name: &str, value: &str) -> Option<()> {
        let model = &mut self.model;
        match (name, value) {
            ("seed", seed) => model.seed = number(seed)?,
            ("policy", policy) => model.policy = Policy::named(policy)?,
            ("clflush", "itself") => model.clflush = Clflush::Itself,
            ("clflush", "mfence") => model.clflush = Clflush::Mfence,
            ("point", "coherency") => model.point = Point::Coherency,
            ("point", "persistence") => model.point = Point::Persistence,
            ("user-streaming", effect) => model.promises[0].streaming = streaming(effect)?,
            ("kernel-streaming", effect) => model.promises[1].streaming = streaming(effect)?,
            ("user-locked", effect) => model.promises[0].is_locked_fence = is_fence(effect)?,
            ("kernel-locked", effect) => model.promises[1].is_locked_fence = is_fence(effect)?,
            ("stores", "followed") => model.follows_stores = true,
            ("lines", "told") => model.tells_lines = true,
            ("lines", "watched") => model.is_watched = true,
            ("lost", lines) => {
                model.lost =
                    lines.split(':').map(|line| line.parse().ok()).collect::<Option<_>>()?;
            }
            ("evict", one_in) => model.evict = number(one_in)?,
            ("cut", event) => {
                let (kind, count) = event.split_once(':')?;
                model.cut = Some((Event::named(kind)?, number(count)?));
            }
            _ => return None,
        }
        Some(())
    }

    fn whole(self) -> Result<Self, String> {
        for (name, path) in
            [("live", &self.live), ("persisted", &self.persisted), ("out", &self.out)]
        {
            if path.as_os_str().is_empty() {
                return Err(format!("{name}=FILE is missing"));
            }
        }
        let most = u64::from(u32::MAX) * LINE;
        if self.size == 0 || self.size > most || !(self.base | self.size).is_multiple_of(LINE) {
            return Err(format!(
                "size={} at base={:#x}: whole lines are needed",
                self.size, self.base
            ));
        }
        let needs_stores =
            self.model.evict > 0 || matches!(self.model.cut, Some((Event::Store, _)));
        if needs_stores && !self.model.follows_stores {
            return Err(String::from("this cut or eviction needs stores=followed"));
        }
        Ok(self)
    }
}

fn number(value: &str) -> Option<u64> {
    match value.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => value.parse().ok(),
    }
}

fn streaming(effect: &str) -> Option<Streaming> {
    match effect {
        "ordinary" => Some(Streaming::Ordinary),
        "evicting" => Some(Streaming::Evicting),
        _ => None,
    }
}

fn is_fence(effect: &str) -> Option<bool> {
    match effect {
        "fence" => Some(true),
        "ordinary" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Clflush, Event, Options, Point, Policy, Streaming};
    use std::collections::BTreeSet;

    const NEEDED: [&str; 5] =
        ["live=/a", "persisted=/b", "out=/c", "base=0x100000000", "size=268435456"];

    #[test]
    fn arguments_are_taken_by_name() {
        let more = [
            "offset=0x40000000",
            "seed=7",
            "policy=keep-one",
            "clflush=itself",
            "point=coherency",
            "user-streaming=evicting",
            "kernel-locked=ordinary",
            "stores=followed",
            "lines=told",
            "lost=7:9",
            "evict=300",
            "cut=fence:12",
            "reset=0x40000000",
        ];
        let options = Options::parse(&[&NEEDED[..], &more].concat()).unwrap();
        assert_eq!((options.base, options.size), (0x1_0000_0000, 256 << 20));
        assert_eq!((options.offset, options.reset), (0x4000_0000, 0x4000_0000));
        let model = options.model;
        assert_eq!((model.seed, model.policy, model.evict), (7, Policy::KeepOne, 300));
        assert_eq!((model.tells_lines, model.lost), (true, BTreeSet::from([7, 9])));
        assert_eq!((model.clflush, model.point), (Clflush::Itself, Point::Coherency));
        assert_eq!(model.promises[0].streaming, Streaming::Evicting);
        assert!(!model.promises[0].is_locked_fence && !model.promises[1].is_locked_fence);
        assert_eq!(model.cut, Some((Event::Fence, 12)));
        assert_eq!(Options::parse(&NEEDED).unwrap().reset, 0xffff_fff0);
    }

    #[test]
    fn arguments_without_a_meaning_are_refused() {
        for wrong in
            ["policy=most", "cut=fence", "cut=load:1", "seed=x", "lost=", "color=red", "seed"]
        {
            let error = Options::parse(&[&NEEDED[..], &[wrong]].concat()).unwrap_err();
            assert!(error.starts_with(wrong), "{error}");
        }
        assert!(Options::parse(&NEEDED[1..]).unwrap_err().starts_with("live=FILE"));
        assert!(Options::parse(&NEEDED[..4]).unwrap_err().starts_with("size=0"));
        for needs in ["evict=3", "cut=store:1"] {
            let error = Options::parse(&[&NEEDED[..], &[needs]].concat()).unwrap_err();
            assert!(error.contains("stores=followed"), "{error}");
        }
    }
}
