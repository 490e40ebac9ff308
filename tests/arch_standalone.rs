//! The folder `arch` compiles alone: it names nothing of this crate, so that facts stay below policy.
//! (An arrow back would fail to resolve here.) Its own unit tests run here a second time.

#![expect(dead_code, unused_imports, reason = "the folder's own tests are all that is called")]

#[path = "../arch/mod.rs"]
#[expect(unreachable_pub, reason = "the folder is the interface of the crate that mounts it")]
mod arch;
