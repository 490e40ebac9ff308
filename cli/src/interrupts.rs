//! Signals that ask a command to end.
//!
//! # Why this file is unsafe
//! It reads and sets the disposition of signals, and blocks them meanwhile, by calls of libc.

use anyhow::Context as _;
#[cfg(unix)]
pub(crate) use ignored::{SIGNALS, is_ignored};

/// Calls `handler`, on a thread of its own, for each SIGINT, SIGTERM and SIGHUP from now on, instead of ending the
/// command.
///
/// An ignored signal stays ignored: `nohup` ignores SIGHUP, and a shell without job control ignores SIGINT for its jobs
/// in the background (POSIX, XCU 2.11).
pub(crate) fn handle(handler: impl FnMut() + 'static + Send) -> anyhow::Result<()> {
    #[cfg(unix)]
    let ignored = ignored::Ignored::hold().context("the ignored signals cannot be read")?;
    let set = ctrlc::set_handler(handler);
    #[cfg(unix)]
    ignored.restore().context("signals cannot be ignored")?;
    set.context("signals cannot be handled")
}

#[cfg(unix)]
mod ignored {
    use core::mem::MaybeUninit;
    use libc::{c_int, sigset_t};
    use std::io;

    pub(crate) const SIGNALS: [c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

    /// The signals that this process ignored. All of them are blocked on this thread until they are ignored again. So a
    /// handler that is set meanwhile does not get any: the kernel drops a blocked signal when it becomes ignored.
    pub(super) struct Ignored {
        are_ignored: [bool; SIGNALS.len()],
        blocked_before: sigset_t,
    }

    impl Ignored {
        pub(super) fn hold() -> io::Result<Self> {
            let mut are_ignored = [false; SIGNALS.len()];
            let mut blocked = MaybeUninit::uninit();
            // SAFETY: the call writes a set to the place that it is given.
            done(unsafe { libc::sigemptyset(blocked.as_mut_ptr()) })?;
            // SAFETY: the call has succeeded and has written the set.
            let mut blocked = unsafe { blocked.assume_init() };
            for (signal, is_ignored) in SIGNALS.into_iter().zip(&mut are_ignored) {
                *is_ignored = self::is_ignored(signal)?;
                if *is_ignored {
                    // SAFETY: the call changes the set that it is given.
                    done(unsafe { libc::sigaddset(&raw mut blocked, signal) })?;
                }
            }
            let blocked_before = mask(libc::SIG_BLOCK, &blocked)?;
            Ok(Self { are_ignored, blocked_before })
        }

        pub(super) fn restore(self) -> io::Result<()> {
            for (signal, is_ignored) in SIGNALS.into_iter().zip(self.are_ignored) {
                // SAFETY: no handler is installed.
                if is_ignored && unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
                    return Err(io::Error::last_os_error());
                }
            }
            mask(libc::SIG_SETMASK, &self.blocked_before)?;
            Ok(())
        }
    }

    /// Returns true if this process ignores the signal.
    pub(crate) fn is_ignored(signal: c_int) -> io::Result<bool> {
        let mut action = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: the call writes the present action to the place that it is given, and sets no new one.
        done(unsafe { libc::sigaction(signal, core::ptr::null(), action.as_mut_ptr()) })?;
        // SAFETY: the call has succeeded and has written the action.
        Ok(unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN)
    }

    /// Changes the blocked signals of this thread, and returns those before.
    fn mask(how: c_int, signals: &sigset_t) -> io::Result<sigset_t> {
        let mut before = MaybeUninit::uninit();
        // SAFETY: the call reads the first set, and writes the second one to the place that it is given.
        let failed = unsafe { libc::pthread_sigmask(how, signals, before.as_mut_ptr()) };
        if failed != 0 {
            return Err(io::Error::from_raw_os_error(failed));
        }
        // SAFETY: the call has succeeded and has written the set.
        Ok(unsafe { before.assume_init() })
    }

    fn done(result: c_int) -> io::Result<()> {
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
