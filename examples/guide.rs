//! The code of the README and of the chapters in `docs`, run as documentation tests. The chapter on crash testing is
//! the documentation of `cachemaint-sim`.

macro_rules! chapters {
    ($($name:ident: $file:literal,)*) => {
        $(
            #[doc = include_str!($file)]
            mod $name {}
        )*
    };
}

chapters! {
    readme: "../README.md",
    durable_files: "../docs/durable-files.md",
    files: "../docs/files.md",
    journal: "../crates/journal/README.md",
    store: "../crates/store/README.md",
    recorder: "../crates/recorder/README.md",
    databases: "../docs/databases.md",
    drivers: "../docs/drivers.md",
    device_model: "../docs/device-model.md",
    guarantees: "../docs/guarantees.md",
    guest_memory: "../docs/guest-memory.md",
    recorder_chapter: "../docs/recorder.md",
    tracing: "../docs/tracing.md",
}
