//! A flight recorder whose last events survive a reset after the program has ended: a handler of SIGTERM, SIGQUIT and
//! SIGABRT stops it and writes its lines back.
//!
//! If the file is persisted in whole pages, the handler writes nothing back: a store into the file outlives the process
//! anyway.
//!
//! ```sh
//! cargo run -p cachemaint-examples --example last_words -- /mnt/pmem/events   # end it by Ctrl-\ or kill, and run it again
//! ```

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
#[expect(unsafe_code, clippy::print_stdout, reason = "handles signals; shows the result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use cachemaint::dax::{self, DaxFile};
    use cachemaint::medium::Granularity;
    use cachemaint_recorder::{Found, Recorder};
    use std::sync::OnceLock;
    use std::thread;
    use std::time::Duration;

    static RECORDER: OnceLock<Recorder<'static, DaxFile>> = OnceLock::new();

    /// Writes the last events back, and then lets the signal act as it would without this handler.
    extern "C" fn on_signal(signal: libc::c_int) {
        if let Some(recorder) = RECORDER.get() {
            recorder.stop();
            // The process is ending: a failure cannot be reported.
            drop(recorder.write_back_all());
        }
        // SAFETY: it may be called in a handler (signal-safety(7)).
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        // SAFETY: as above.
        unsafe { libc::raise(signal) };
    }

    let path = std::env::args().nth(1).ok_or("usage: last_words FILE")?;
    let file = dax::Options::new().allow_page_granularity().open_or_create(path, 1 << 20)?;
    let has_lines = !matches!(file.granularity(), Granularity::Page(_));
    let (recorder, _opened) = Recorder::open_or_create(file)?;
    let recorder = RECORDER.get_or_init(|| recorder);
    let reader = recorder.reader();
    let (mut events, mut buffer) = (reader.events(), vec![0; reader.largest_payload()]);
    let mut earlier = 0;
    while let Some(found) = events.read_next(&mut buffer)? {
        earlier += u64::from(matches!(found, Found::Event(_)));
    }
    println!("{earlier} events of earlier runs");
    if has_lines {
        for signal in [libc::SIGTERM, libc::SIGQUIT, libc::SIGABRT] {
            let handler: extern "C" fn(libc::c_int) = on_signal;
            #[expect(clippy::fn_to_numeric_cast_any, reason = "libc takes a handler as a number")]
            let handler = handler as libc::sighandler_t;
            // SAFETY: the handler only loads and stores atomics, writes lines back, and makes calls that it may make.
            let before = unsafe { libc::signal(signal, handler) };
            if before == libc::SIG_ERR {
                return Err(std::io::Error::last_os_error().into());
            }
        }
    }
    let writer = recorder.claim()?;
    loop {
        writer.record(1, b"alive")?;
        thread::sleep(Duration::from_millis(100));
    }
}
