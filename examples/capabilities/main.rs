//! The properties of a machine that a deployment needs, as JSON: the write-backs that make stores durable, and the
//! memory where they do.
//!
//! ```sh
//! cargo run -p cachemaint-examples --example capabilities
//! ```

#![expect(clippy::print_stdout, reason = "the result of the program")]

use cachemaint::medium::Backing;
use cachemaint::{Cache, Unsupported};
use cachemaint_inspect::HostReport;
use cachemaint_inspect::survival::{Event, Stage, survives};
use serde_json::{Value, json};

/// Returns the instruction and the fence of a write-back, or the reason why there is none, with the remedy.
fn choice(cache: Result<Cache, Unsupported>) -> Value {
    match cache {
        Ok(cache) => json!({
            "instruction": cache.writeback_choice().instruction.name,
            "fence": cache.writeback_choice().after,
            "line": cache.line_size(),
        }),
        Err(why) => json!({ "missing": why.to_string() }),
    }
}

fn main() -> serde_json::Result<()> {
    let host = HostReport::host();
    let outlives = |backing: Backing, event| survives(backing, Stage::Persisted, event).answer;
    let memory: Vec<Value> = host
        .backings()
        .into_iter()
        .map(|backing| {
            json!({
                "backing": backing,
                "kexec": outlives(backing, Event::Kexec),
                "warm_reboot": outlives(backing, Event::WarmReboot),
                "power_loss": outlives(backing, Event::PowerLoss),
            })
        })
        .collect();
    let answer = json!({
        "to_memory": choice(Cache::host()),
        "to_persistence": choice(Cache::persistent()),
        "memory": memory,
    });
    println!("{}", serde_json::to_string_pretty(&answer)?);
    Ok(())
}
