//! The subcommand `cut`: its arguments and its report.

use anyhow::Result;
use clap::Args;
use lose_lines::check::Tested;
use lose_lines::crash::moments::{Counted, Counts, Moment};
use lose_lines::crash::{self, CrashTest, cut_all};
use lose_lines::report::Form;
use lose_lines_plugin::policy::Policy;
use serde_json::json;

use crate::{LOSS, Machines, Outcome, Subject, Testing, progress, repeated};

#[derive(Args, Clone, Debug)]
pub(crate) struct Cutting {
    /// The number of cuts, each with a new file system. The last one comes after the program's end.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    cuts: u64,
    /// Cut only once, at this moment: writeback:N, fence:N, store:N, call:N or end. The seed then chooses only the
    /// losses.
    #[arg(long, value_name = "MOMENT", conflicts_with = "cuts")]
    cut: Option<Moment>,
    /// Lose exactly these lines; take their numbers from a reported failure.
    #[arg(
        long,
        value_name = "LINES",
        value_delimiter = ',',
        requires = "cut",
        conflicts_with = "policy"
    )]
    lose: Vec<u32>,
    /// The number of cuts to run in parallel. Each is a machine that takes one CPU and up to 1 GiB of memory.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Treat a streaming store as written back, so that a fence makes it persistent; PMDK relies on this.
    #[arg(long)]
    streaming: bool,
    /// Which dirty lines persist.
    #[arg(long, value_enum, default_value_t = Policy::Half)]
    policy: Policy,
    #[command(flatten)]
    testing: Testing,
    #[command(flatten)]
    program: Subject,
}

pub(crate) fn cut(request: &Cutting) -> Result<u8> {
    let Cutting { cuts, cut, lose, jobs, streaming, policy, testing, program } = request;
    let (found, check) = (program.find()?, program.check(testing)?);
    let (seed, form) = (testing.seed()?, testing.form());
    let mut failures = 0;
    let result = Machines::with_memory()?.finish(|Machines { kit, name, log, .. }| {
        let test = Tested {
            kit,
            name,
            program: found,
            prepare: None,
            check,
            environment: program.environment.clone(),
            limit: testing.limit(),
            may_fail: testing.allow_failure,
        };
        let test = CrashTest {
            test,
            policy: *policy,
            lost: lose.clone(),
            is_streaming_evicting: *streaming,
        };
        progress("starting a machine; each cut then takes one to two seconds");
        let made = test.make(log)?;
        let cuts = if let Some(moment) = cut {
            vec![(*moment, seed)]
        } else {
            let counted = test.count(&made, log)?;
            say_counted(form, seed, &counted)?;
            counted.cuts(*cuts, seed)
        };
        let summary = cut_all(&test, &made, &cuts, (*jobs).into(), log, |number, outcome| {
            failures += usize::from(outcome.checked.failure().is_some());
            request.say(form, (number, cuts.len()), outcome)
        })?;
        form.say("summary", &summary, &summary)?;
        let unmountable = usize::try_from(summary.not_mounted).unwrap_or(usize::MAX);
        Ok(Outcome::of(failures, unmountable, cut.is_some() || summary.between > 0))
    });
    match result {
        // A failure that was found stays one, whatever failed later.
        Err(why) if failures > 0 => {
            progress(&format!("{why:#}"));
            Ok(LOSS)
        }
        result => result.map(Outcome::code),
    }
}

/// Reports the run that was not cut.
fn say_counted(form: Form, seed: u64, counted: &Counted) -> Result<()> {
    let Counted { counts, time, has_ended } = counted;
    let Counts { writebacks, fences, stores, calls } = counts;
    let seconds = time.as_secs_f64();
    let end = if *has_ended { "it succeeded" } else { "it did not end and was killed" };
    let text = format!(
        "without a cut, {end} after {seconds:.1} s; it made {stores} stores to mapped files, {writebacks} write-backs, \
         {fences} fences that completed some of them, and {calls} system calls that change files; seed {seed}"
    );
    let document =
        json!({ "counts": counts, "seconds": seconds, "has_ended": has_ended, "seed": seed });
    form.say("uncut", &text, &document)
}

impl Cutting {
    /// Reports a cut. `which` is its number, and that of all.
    fn say(&self, form: Form, which: (usize, usize), outcome: &crash::Outcome) -> Result<()> {
        let chosen = if outcome.fewest.is_empty() { &self.lose } else { &outcome.fewest };
        let repeating = self.repeating(outcome.moment, outcome.seed, chosen);
        let mut document = json!(outcome);
        document["repeat"] = json!(repeating);
        form.say("cut", &outcome.in_words(which, &repeating), &document)
    }

    /// Returns the command that repeats one cut.
    fn repeating(&self, moment: Moment, seed: u64, lose: &[u32]) -> String {
        let Self { streaming, policy, testing, program, .. } = self;
        let lines: Vec<String> = lose.iter().map(u32::to_string).collect();
        let losses = if lines.is_empty() {
            vec![
                String::from("--seed"),
                seed.to_string(),
                String::from("--policy"),
                policy.to_string(),
            ]
        } else {
            vec![String::from("--lose"), lines.join(",")]
        };
        let mut words = vec![String::from("cut"), String::from("--cut"), moment.to_string()];
        words.extend(losses);
        words.extend(streaming.then(|| String::from("--streaming")));
        repeated(words.into_iter().chain(testing.words()).chain(program.words()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use lose_lines_machine::losses::{self, FENCE};

    use super::{Cutting, Moment};
    use crate::{Cli, Subject, Task};

    fn parsed(line: &str) -> Cutting {
        match Cli::try_parse_from(shlex::split(line).unwrap()).unwrap().task {
            Task::Cut(cut) => cut,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_that_repeats_a_cut_is_the_same_test() {
        let request = parsed(
            "lose-lines cut --cuts 3 --policy torn --streaming --limit 7 --bring /lib/a.so --check '/bin/sh -c \"a b\"' \
             --env 'A=b c' /bin/sh -c 'c --cut d' --json",
        );
        let moment = Moment::At(losses::Cut { event: FENCE, number: 3 });
        let fewest = parsed(&request.repeating(moment, 5, &[7, 9]));
        assert_eq!((fewest.cut, fewest.lose), (Some(moment), vec![7, 9]));
        let again = parsed(&request.repeating(moment, 5, &[]));
        assert_eq!((again.cut, again.testing.seed), (Some(moment), Some(5)));
        let kept = |request: &Cutting| {
            let Cutting { streaming, policy, testing, program, .. } = request.clone();
            let Subject { brought, environment, program, arguments } = program;
            (streaming, policy, testing.words(), brought, environment, program, arguments)
        };
        assert_eq!(kept(&again), kept(&request));
        assert_eq!(again.program.arguments, ["-c", "c --cut d", "--json"]);
    }
}
