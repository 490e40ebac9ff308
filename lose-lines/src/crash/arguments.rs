//! The subcommand `cut`: its arguments and its test.

use core::fmt::Display;
use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use lose_lines::check::Whole;
use lose_lines::crash::moments::{Counted, Counts};
use lose_lines::crash::{Choice, CrashTest, Cuts, Made};
use lose_lines::report::Report;
use lose_lines::trial::{Found, Wording, run};
use lose_lines_machine::transcript::Transcript;
use lose_lines_states::Model;
use serde_json::json;

use crate::{Machined, Machines, Testing, Usage, progress, tested};

/// The number of states, if none is given.
const STATES: usize = 10;

#[derive(Args, Clone, Debug)]
pub(crate) struct Cutting {
    /// Treat a streaming store as written back, so that a fence makes it persistent; PMDK relies on this.
    #[arg(long)]
    streaming: bool,
    #[command(flatten)]
    pub(crate) machined: Machined,
    #[command(flatten)]
    pub(crate) testing: Testing,
}

pub(crate) fn cut(request: &Cutting) -> Result<u8> {
    let Cutting { machined, testing, .. } = request;
    if testing.models.iter().any(|model| *model != Model::Ext4) {
        bail!(Usage(anyhow!("cut has only ext4, with DAX")));
    }
    if testing.program.is_empty() {
        bail!(Usage(anyhow!("cut runs the program for each state; name it after --")));
    }
    let state: Option<Choice> = testing.state()?;
    tested("cut", testing, |report| {
        Machines::with_memory()?.finish(|Machines { kit, name, log, .. }| {
            let test = machined.tested(testing, kit, name)?;
            let test = CrashTest { test, is_streaming_evicting: request.streaming };
            progress("starting a machine; each cut then takes one to two seconds");
            let made = test.make(log)?;
            let choices = match state {
                Some(state) => vec![state],
                None => request.chosen(&test, &made, log, report)?,
            };
            let wording = Wording {
                model: Model::Ext4.to_string(),
                warning: None,
                repeating: &|choice| request.repeating(choice),
            };
            let cuts = Cuts { test, made: &made, log };
            let (states, limits) = (choices.len(), (choices.len(), testing.machines()));
            let found = run(&cuts, choices.into_iter().enumerate(), limits, &wording, report)?;
            let Found { lost, pending, .. } = found;
            let more = format!("{lost} of {pending} dirty lines lost");
            wording.summary(&found, (&more, &json!({ "states": states })), report)?;
            Ok(found)
        })
    })
}

impl Cutting {
    /// Chooses states by the counts of a run that was not cut.
    fn chosen(
        &self,
        test: &CrashTest<'_>,
        made: &Made,
        log: &Transcript,
        report: &Report,
    ) -> Result<Vec<Choice>> {
        let Self { testing, machined, .. } = self;
        let counted = match &testing.log {
            Some(path) => {
                let cannot = || format!("cannot read {}", path.display());
                serde_json::from_slice(&fs::read(path).with_context(cannot)?)
                    .with_context(cannot)?
            }
            None => self.counted(test.count(made, log)?, report)?,
        };
        Ok(counted.cuts(testing.states(STATES) as u64, report.seed, machined.policy))
    }

    /// Reports the run that was not cut, and keeps its counts if that is asked for.
    fn counted(&self, (run, counted): (Whole, Counted), report: &Report) -> Result<Counted> {
        let Counts { writebacks, fences, stores, calls } = counted.counts;
        let counts = [
            ("stores to mapped files", stores),
            ("write-backs", writebacks),
            ("fences", fences),
            ("calls that change files", calls),
            ("acknowledgements", counted.acknowledged),
        ];
        report.recorded((run.end, run.time), &counts, &BTreeSet::new())?;
        if let Some(path) = &self.testing.keep {
            let text = serde_json::to_vec(&counted)?;
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(counted)
    }

    /// Returns the command that repeats a state.
    pub(crate) fn repeating(&self, state: impl Display) -> String {
        let streaming = self.streaming.then(|| String::from("--streaming"));
        let more: Vec<_> = streaming.into_iter().chain(self.machined.words()).collect();
        self.testing.repeating("cut", None, (Model::Ext4, state), &more)
    }
}
