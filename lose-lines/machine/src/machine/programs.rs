//! Programs that run in a machine.

use anyhow::{Context as _, Result, bail, ensure};
use lose_lines_agent::{MARK, Reply, Request};
use serde_json::Value;

use super::Machine;

/// The end of a program: its exit code or the signal.
pub type End = (Option<i32>, Option<i32>);

/// Returns the output of programs in a part of a machine's log, without the protocol.
pub fn printed(log: &str) -> String {
    let mut out = String::new();
    for line in log.split_inclusive('\n') {
        match line.split_once(MARK) {
            // A program need not end its last line.
            Some(("", _)) => {}
            Some((before, _)) => out.extend([before, "\n"]),
            None => out.push_str(line),
        }
    }
    out
}

impl Machine {
    /// Runs a program, which must succeed.
    pub fn run(&mut self, line: &str) -> Result<()> {
        match self.run_any(line, &[])? {
            (Some(0), _) => Ok(()),
            (code, signal) => bail!("`{line}` ended with code {code:?}, signal {signal:?}"),
        }
    }

    /// Runs a program. Returns its exit code or the signal that ended it.
    pub fn run_any(
        &mut self,
        line: &str,
        environment: &[(&str, &str)],
    ) -> Result<(Option<i32>, Option<i32>)> {
        let mut words = line.split_whitespace().map(str::to_owned);
        let program = words.next().context("no program")?;
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (arguments, environment) = (words.collect(), environment.collect());
        let (directory, output) = (None, None);
        self.run_request(&Request::Run { program, arguments, environment, directory, output })
    }

    /// Runs the program of a request. Returns its exit code or the signal that ended it.
    pub fn run_request(&mut self, request: &Request) -> Result<End> {
        match self.ask(request)? {
            Reply::Ended { code, signal } => Ok((code, signal)),
            other => bail!("{request:?}: {other:?}"),
        }
    }

    /// Runs a program without an input. Returns its exit code, its standard output and its standard error.
    pub fn output(&mut self, line: &str) -> Result<(Option<i32>, String, String)> {
        self.output_of(line, "")
    }

    /// Does the same with an input.
    pub fn output_of(&mut self, line: &str, input: &str) -> Result<(Option<i32>, String, String)> {
        let mut words = line.split_whitespace().map(str::to_owned);
        let program = words.next().context("no program")?;
        let (arguments, input) = (words.collect(), input.to_owned());
        match self.ask(&Request::Output { program, arguments, input })? {
            Reply::Printed { code, out, errors, .. } => Ok((code, out, errors)),
            other => bail!("`{line}`: {other:?}"),
        }
    }

    /// Runs a program, which must succeed and print a document.
    pub fn document(&mut self, line: &str) -> Result<Value> {
        let (code, out, errors) = self.output(line)?;
        ensure!(code == Some(0), "`{line}` ended with code {code:?}: {errors}");
        serde_json::from_str(&out).with_context(|| format!("`{line}` did not print JSON: {out:?}"))
    }

    /// Starts a program that runs in the background until the machine ends. Returns its process id.
    pub fn start_beside(&mut self, line: &str, environment: &[(&str, &str)]) -> Result<u32> {
        let mut words = line.split_whitespace().map(str::to_owned);
        let program = words.next().context("no program")?;
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment = environment.collect();
        let request = Request::Start { program, arguments: words.collect(), environment };
        match self.ask(&request)? {
            Reply::Started(id) => Ok(id),
            other => bail!("`{line}`: {other:?}"),
        }
    }

    /// Sends a started program a line. Returns the line of its answer.
    pub fn tell(&mut self, id: u32, line: &str) -> Result<String> {
        match self.ask(&Request::Tell { id, line: line.to_owned() })? {
            Reply::Text(answer) => Ok(answer),
            other => bail!("`{line}` to process {id}: {other:?}"),
        }
    }

    /// Sends a started program a signal. It must then print a document and end successfully.
    pub fn document_at_end(&mut self, id: u32, signal: i32) -> Result<Value> {
        match self.ask(&Request::End { id, signal })? {
            Reply::Printed { code: Some(0), out, .. } => serde_json::from_str(&out)
                .with_context(|| format!("process {id} did not print JSON: {out:?}")),
            other => bail!("process {id} ended otherwise: {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::printed;

    #[test]
    fn the_output_is_the_log_without_the_conversation() {
        let log = "one\n@lab {\"Text\":\"\"}\ntwo\nthree@lab {\"Ended\":{}}\n";
        assert_eq!(printed(log), "one\ntwo\nthree\n");
        assert_eq!(printed("cut of"), "cut of");
    }
}
