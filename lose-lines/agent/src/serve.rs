//! The protocol with the host, and the handling of each request.

use super::beside::Beside;
use super::protocol::{KEXEC, Reply, Request};
use super::{boot, console, extents, files, kexec, resume};
use anyhow::{Context as _, Result, bail};
use rustix::fs::OFlags;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::system::{RebootCommand, reboot};
use serde_json::Value;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// Serves the host's requests until the host ends the machine; `other` serves those of a project.
///
/// # Errors
/// If this is not the first program of a machine, or the host cannot be reached.
pub fn serve(mut other: impl FnMut(Value) -> Result<Reply>) -> Result<Infallible> {
    if std::process::id() != 1 {
        bail!("this is the first program of a machine: it runs as process 1");
    }
    boot()?;
    console::make_raw(std::io::stdin())?;
    console::say(&hello()?)?;
    let mut beside = Beside::default();
    loop {
        let request = console::next()?;
        let reply = answer(request, &mut beside, &mut other)
            .unwrap_or_else(|error| Reply::Refused(format!("{error:#}")));
        console::say(&reply)?;
    }
}

fn hello() -> Result<Reply> {
    Ok(Reply::Hello {
        boot: read("/proc/sys/kernel/random/boot_id")?,
        kernel: read("/proc/sys/kernel/osrelease")?,
        by_kexec: read("/proc/cmdline")?.split_whitespace().any(|word| word == KEXEC),
    })
}

fn answer(
    request: Request,
    beside: &mut Beside,
    other: &mut impl FnMut(Value) -> Result<Reply>,
) -> Result<Reply> {
    match request {
        Request::Other(request) => other(request),
        Request::Run { program, arguments, environment, directory, output } => {
            run(&program, &arguments, &environment, directory.as_deref(), output.as_deref())
        }
        Request::Output { program, arguments, input } => output(&program, &arguments, &input),
        Request::Start { program, arguments, environment } => {
            beside.start(&program, &arguments, &environment)
        }
        Request::Tell { id, line } => beside.tell(id, &line),
        Request::End { id, signal } => beside.end(id, signal),
        Request::Mount { device, directory, kind, options } => {
            mount(&device, &directory, &kind, &options)
        }
        Request::Unmount { directory } => {
            rustix::mount::unmount(&directory, UnmountFlags::empty())
                .with_context(|| format!("cannot unmount {directory}"))?;
            Ok(Reply::Done)
        }
        Request::Read { path } => Ok(Reply::Text(read(&path)?)),
        Request::Write { path, text } => {
            fs::write(&path, text).with_context(|| format!("cannot write {path}"))?;
            Ok(Reply::Done)
        }
        Request::Append { path, text } => {
            let file = File::options().append(true).open(&path);
            file.and_then(|mut file| file.write_all(text.as_bytes()))
                .with_context(|| format!("cannot write {path}"))?;
            Ok(Reply::Done)
        }
        Request::Sync => {
            rustix::fs::sync();
            Ok(Reply::Done)
        }
        Request::Resume { boot, entropy } => {
            resume::resume(&boot, entropy)?;
            hello()
        }
        Request::List { path } => list(&path),
        Request::Extents { directory } => extents::below(&directory),
        Request::Files { directory } => files::below(Path::new(&directory)),
        Request::Kexec { command_line, kernel, initrd } => {
            kexec::load(&command_line, kernel, initrd)?;
            kexec::start()?;
            Ok(Reply::Done)
        }
        // A reboot does not return, and nothing is written back first: having persisted must be enough.
        Request::Reboot => end(RebootCommand::Restart),
        Request::PowerOff => end(RebootCommand::PowerOff),
        // `c` is a crash (Linux, `Documentation/admin-guide/sysrq.rst`).
        Request::Panic => {
            fs::write("/proc/sysrq-trigger", "c").context("the kernel does not panic")?;
            Ok(Reply::Done)
        }
    }
}

fn end(how: RebootCommand) -> Result<Reply> {
    reboot(how).context("the machine does not end")?;
    Ok(Reply::Done)
}

fn read(path: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.trim_end().to_string())
}

fn list(path: &str) -> Result<Reply> {
    let entries = fs::read_dir(path).with_context(|| format!("cannot list {path}"))?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()
        .with_context(|| format!("cannot list {path}"))?;
    names.sort();
    Ok(Reply::Names(names))
}

fn run(
    program: &str,
    arguments: &[String],
    environment: &BTreeMap<String, String>,
    directory: Option<&str>,
    output: Option<&str>,
) -> Result<Reply> {
    let mut command = Command::new(program);
    if let Some(path) = output {
        let mut options = File::options();
        options.write(true).custom_flags(i32::try_from(OFlags::NOCTTY.bits())?);
        let file = options.open(path).with_context(|| format!("cannot open {path}"))?;
        if rustix::termios::isatty(&file) {
            console::make_raw(&file)?;
        }
        command.stdout(file);
    }
    // The console's input carries the host's requests.
    command.args(arguments).envs(environment).stdin(Stdio::null());
    command.current_dir(directory.unwrap_or("/"));
    let status = command.status().with_context(|| format!("cannot start {program}"))?;
    Ok(Reply::Ended { code: status.code(), signal: status.signal() })
}

fn output(program: &str, arguments: &[String], input: &str) -> Result<Reply> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let mut to = child.stdin.take().context("a program without input")?;
    let output = thread::scope(|scope| {
        // A program may print before it has read all of its input, or read nothing of it.
        scope.spawn(move || drop(to.write_all(input.as_bytes())));
        child.wait_with_output()
    });
    let output = output.with_context(|| format!("cannot wait for {program}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    let (code, signal) = (output.status.code(), output.status.signal());
    Ok(Reply::Printed { code, signal, out, errors })
}

fn mount(device: &str, directory: &str, kind: &str, options: &str) -> Result<Reply> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {directory}"))?;
    let options = CString::new(options)?;
    boot::load_file_system(kind)?;
    rustix::mount::mount(device, directory, kind, MountFlags::empty(), options.as_c_str())
        .with_context(|| format!("cannot mount {device} at {directory}"))?;
    Ok(Reply::Done)
}

#[cfg(test)]
mod tests {
    use super::output;
    use crate::Reply;
    use crate::beside::Beside;
    use std::collections::BTreeMap;

    /// More than a pipe holds.
    const MUCH: usize = 300_000;

    #[test]
    fn a_program_with_much_input_and_many_errors_ends() {
        let script = String::from("cat; head -c 300000 /dev/zero >&2");
        let input = "x".repeat(MUCH);
        let reply = output("/bin/sh", &[String::from("-c"), script], &input).unwrap();
        let Reply::Printed { code, out, errors, .. } = reply else { panic!("{reply:?}") };
        assert_eq!((code, out.len(), errors.len()), (Some(0), MUCH, MUCH));
        // It need not read its input.
        let reply = output("/bin/true", &[], &input).unwrap();
        assert!(matches!(reply, Reply::Printed { code: Some(0), .. }), "{reply:?}");
    }

    #[test]
    fn a_program_in_the_background_with_many_errors_ends() {
        let mut beside = Beside::default();
        let script = "trap 'head -c 300000 /dev/zero >&2; echo last; exit 0' TERM; echo up; while :; do sleep 0.01; done";
        let arguments = [String::from("-c"), script.to_owned()];
        let reply = beside.start("/bin/sh", &arguments, &BTreeMap::new()).unwrap();
        let Reply::Started(id) = reply else { panic!("{reply:?}") };
        assert_eq!(beside.tell(id, "").unwrap(), Reply::Text(String::from("up")));
        let reply = beside.end(id, 15).unwrap();
        let Reply::Printed { out, errors, .. } = reply else { panic!("{reply:?}") };
        assert_eq!((&*out, errors.len()), ("last\n", MUCH));
    }
}
