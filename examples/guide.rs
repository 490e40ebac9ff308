//! The code of the README and of the chapters below `docs`, compiled as tests of the documentation.

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
    journal: "../crates/journal/README.md",
    preserve: "../crates/preserve/README.md",
    recorder: "../crates/recorder/README.md",
    drivers: "../docs/drivers.md",
    first_structure: "../docs/first-structure.md",
    logs_and_recorders: "../docs/logs-and-recorders.md",
    state_in_place: "../docs/state-in-place.md",
    state_over_kexec: "../docs/state-over-kexec.md",
}
