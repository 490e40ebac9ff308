//! Signals that are not for a guard go to the handler that was there before it.

use super::{
    assert_died_by, assert_exited, assert_shorter, assert_succeeded, cut, in_child, load, numbered,
    page, said,
};
use cachemaint::dax::FaultHandler;
use core::ffi::{c_int, c_void};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::SeqCst;
use libc::siginfo_t;
use std::thread;

#[test]
fn an_access_outside_of_a_guarded_call_goes_to_the_former_handler() {
    let died = in_child(
        "former_handlers::an_access_outside_of_a_guarded_call_goes_to_the_former_handler",
        || {
            let guard = FaultHandler::install().unwrap();
            let (_directory, file) = numbered();
            cut(&file, 8);
            assert_shorter(file.catch_faults(guard, |file| load(file, 9)), 8);
            load(&file, 9);
        },
    );
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

#[test]
fn another_threads_access_is_not_guarded() {
    let died = in_child("former_handlers::another_threads_access_is_not_guarded", || {
        let guard = FaultHandler::install().unwrap();
        let (_directory, file) = numbered();
        cut(&file, 8);
        let guarded = file.catch_faults(guard, |file| {
            thread::scope(|scope| scope.spawn(|| load(file, 9)).join().unwrap())
        });
        drop(guarded);
    });
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

#[test]
fn another_files_access_is_not_guarded() {
    let died = in_child("former_handlers::another_files_access_is_not_guarded", || {
        let guard = FaultHandler::install().unwrap();
        let ((_one, guarded), (_other, cut_file)) = (numbered(), numbered());
        cut(&cut_file, 8);
        drop(guarded.catch_faults(guard, |_| load(&cut_file, 9)));
    });
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

/// Sets what SIGBUS does, as a program may have before it installs the guard.
fn set_handler(handler: usize, flags: c_int) {
    // SAFETY: zeros are a valid one.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    (action.sa_sigaction, action.sa_flags) = (handler, flags);
    let before = core::ptr::null_mut();
    // SAFETY: the structure is whole, and the handler is one of its kind.
    assert_eq!(unsafe { libc::sigaction(libc::SIGBUS, &raw const action, before) }, 0);
}

/// The address at which a child expects its fault.
static EXPECTED: AtomicUsize = AtomicUsize::new(0);

/// Ends the child by the code 42 if it gets the kernel's description of the fault.
extern "C" fn with_info(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's, handed on.
    let info = unsafe { info.read() };
    // SAFETY: that of a fault has an address.
    let (code, address) = (info.si_code, unsafe { info.si_addr() }.addr());
    let is_right = signal == libc::SIGBUS
        && code == libc::BUS_ADRERR
        && address == EXPECTED.load(SeqCst)
        && !context.is_null();
    // SAFETY: ends the process without running anything else of it.
    unsafe { libc::_exit(if is_right { 42 } else { 1 }) };
}

/// Ends the child by the code 43.
extern "C" fn plain(signal: c_int) {
    // SAFETY: ends the process without running anything else of it.
    unsafe { libc::_exit(if signal == libc::SIGBUS { 43 } else { 1 }) };
}

/// Installs a handler, then the guard, and makes an access that is not guarded.
fn fault_after(handler: usize, flags: c_int) {
    set_handler(handler, flags);
    let guard = FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    cut(&file, 8);
    // The handler is not called for guarded accesses.
    assert_shorter(file.catch_faults(guard, |file| load(file, 9)), 8);
    EXPECTED.store(file.as_ptr(9 * page()).addr(), SeqCst);
    load(&file, 9);
}

#[test]
fn a_former_handler_with_information_gets_it() {
    let ended = in_child("former_handlers::a_former_handler_with_information_gets_it", || {
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = with_info;
        fault_after(handler as usize, libc::SA_SIGINFO);
    });
    assert_exited(ended.as_ref(), 42);
}

#[test]
fn a_former_plain_handler_is_called() {
    let ended = in_child("former_handlers::a_former_plain_handler_is_called", || {
        let handler: extern "C" fn(c_int) = plain;
        fault_after(handler as usize, 0);
    });
    assert_exited(ended.as_ref(), 43);
}

/// The kernel does not ignore what an access raised.
#[test]
fn an_access_with_an_ignored_signal_ends_the_process() {
    let died =
        in_child("former_handlers::an_access_with_an_ignored_signal_ends_the_process", || {
            fault_after(libc::SIG_IGN, 0);
        });
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

#[test]
fn an_access_with_an_unhandled_signal_ends_the_process() {
    let died =
        in_child("former_handlers::an_access_with_an_unhandled_signal_ends_the_process", || {
            fault_after(libc::SIG_DFL, 0);
        });
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

/// A signal that another process sent is as ignored, or as deadly, as it was.
#[test]
fn a_signal_that_was_sent_does_what_it_did() {
    let lived = in_child("former_handlers::a_signal_that_was_sent_does_what_it_did", || {
        set_handler(libc::SIG_IGN, 0);
        FaultHandler::install().unwrap();
        // SAFETY: sends this process a signal.
        unsafe { libc::raise(libc::SIGBUS) };
    });
    assert_succeeded(lived.as_ref());
}

#[test]
fn a_signal_that_was_sent_ends_the_process_by_default() {
    let died =
        in_child("former_handlers::a_signal_that_was_sent_ends_the_process_by_default", || {
            set_handler(libc::SIG_DFL, 0);
            FaultHandler::install().unwrap();
            // SAFETY: sends this process a signal.
            unsafe { libc::raise(libc::SIGBUS) };
        });
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

/// Sends this thread a signal that says what the kernel does: a process may send itself any code.
fn send_to_self(code: c_int) {
    // SAFETY: zeros are a valid one.
    let mut info: siginfo_t = unsafe { core::mem::zeroed() };
    (info.si_signo, info.si_code) = (libc::SIGBUS, code);
    // SAFETY: the call has no arguments.
    let process = unsafe { libc::getpid() };
    // SAFETY: as above.
    let thread = unsafe { libc::gettid() };
    let call = libc::SYS_rt_tgsigqueueinfo;
    // SAFETY: the structure is whole.
    let sent = unsafe { libc::syscall(call, process, thread, libc::SIGBUS, &raw const info) };
    assert_eq!(sent, 0);
}

/// Nothing has accessed the bytes that the kernel speaks of (`BUS_MCEERR_AO`).
fn assert_guarded_after_an_optional_memory_error(test: &str, former: usize) {
    let lived = in_child(test, || {
        set_handler(former, 0);
        let guard = FaultHandler::install().unwrap();
        send_to_self(libc::BUS_MCEERR_AO);
        let (_directory, file) = numbered();
        cut(&file, 8);
        assert_shorter(file.catch_faults(guard, |file| load(file, 9)), 8);
    });
    assert_succeeded(lived.as_ref());
}

#[test]
fn an_optional_memory_error_changes_nothing_by_default() {
    let test = "former_handlers::an_optional_memory_error_changes_nothing_by_default";
    assert_guarded_after_an_optional_memory_error(test, libc::SIG_DFL);
}

#[test]
fn an_optional_memory_error_changes_nothing_where_the_signal_was_ignored() {
    let test =
        "former_handlers::an_optional_memory_error_changes_nothing_where_the_signal_was_ignored";
    assert_guarded_after_an_optional_memory_error(test, libc::SIG_IGN);
}

/// The standard library's handler of SIGBUS sets the default and returns, so that an access ends the process when it is
/// tried again. Without an access that must not end the guard.
#[test]
fn a_signal_without_an_access_leaves_the_guard_installed() {
    let died =
        in_child("former_handlers::a_signal_without_an_access_leaves_the_guard_installed", || {
            let guard = FaultHandler::install().unwrap();
            let (_directory, file) = numbered();
            cut(&file, 8);
            send_to_self(libc::BUS_MCEERR_AO);
            assert_shorter(file.catch_faults(guard, |file| load(file, 9)), 8);
            send_to_self(libc::BUS_MCEERR_AO);
            assert_shorter(file.catch_faults(guard, |file| load(file, 9)), 8);
            println!("both were errors");
            send_to_self(libc::SI_USER);
        });
    if let Some(died) = &died {
        assert!(said(died).contains("both were errors"), "{}", said(died));
    }
    // As without the guard: the default was set before.
    assert_died_by(died.as_ref(), libc::SIGBUS);
}

#[test]
fn an_optional_memory_error_goes_to_the_former_handler() {
    let ended =
        in_child("former_handlers::an_optional_memory_error_goes_to_the_former_handler", || {
            let handler: extern "C" fn(c_int) = plain;
            set_handler(handler as usize, 0);
            FaultHandler::install().unwrap();
            send_to_self(libc::BUS_MCEERR_AO);
        });
    assert_exited(ended.as_ref(), 43);
}

/// The flag of sigaction(2) by which a call of the system goes on after the signal.
fn assert_restarts(test: &str, former: usize, flags: c_int, expected: c_int) {
    let ended = in_child(test, || {
        set_handler(former, flags);
        FaultHandler::install().unwrap();
        // SAFETY: zeros are a valid one.
        let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
        // SAFETY: the call fills the structure.
        let asked = unsafe { libc::sigaction(libc::SIGBUS, core::ptr::null(), &raw mut action) };
        assert_eq!((asked, action.sa_flags & libc::SA_RESTART), (0, expected));
    });
    assert_succeeded(ended.as_ref());
}

#[test]
fn a_call_that_went_on_after_the_signal_still_does() {
    let handler: extern "C" fn(c_int) = plain;
    let test = "former_handlers::a_call_that_went_on_after_the_signal_still_does";
    assert_restarts(test, handler as usize, libc::SA_RESTART, libc::SA_RESTART);
}

#[test]
fn a_call_that_an_ignored_signal_did_not_interrupt_still_goes_on() {
    let test = "former_handlers::a_call_that_an_ignored_signal_did_not_interrupt_still_goes_on";
    assert_restarts(test, libc::SIG_IGN, 0, libc::SA_RESTART);
}

#[test]
fn a_call_that_the_signal_interrupted_still_is() {
    let handler: extern "C" fn(c_int) = plain;
    assert_restarts(
        "former_handlers::a_call_that_the_signal_interrupted_still_is",
        handler as usize,
        0,
        0,
    );
}
