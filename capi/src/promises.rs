//! The guarantee of an open file, and the events that its bytes survive.
//!
//! # Why this file is unsafe
//! It fills structures that the caller names.

use crate::arguments::{self, unknown_number};
use crate::cancellation;
use crate::error::{Failure, number};
use crate::handle::{Handle, Open};
use crate::text;
use cachemaint::medium::Backing;
use cachemaint::medium::Granularity;
use cachemaint::report::Statement;
use cachemaint_inspect::FileReport;
use cachemaint_inspect::survival::{Event, Stage, Survival};
use core::ffi::{c_char, c_int, c_uint};
use std::ffi::CString;

/// `struct cachemaint_guarantee`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct CGuarantee {
    pub(crate) granularity: c_int,
    pub(crate) backing: c_int,
    pub(crate) unit: usize,
    pub(crate) reason: *const c_char,
    pub(crate) advice: *const c_char,
    pub(crate) backing_name: *const c_char,
    pub(crate) file_system: *const c_char,
    pub(crate) mount_point: *const c_char,
    pub(crate) device: *const c_char,
}

/// `struct cachemaint_survival`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct CSurvival {
    pub(crate) answer: c_int,
    pub(crate) reserved: c_int,
    pub(crate) text: *const c_char,
    pub(crate) source: *const c_char,
    pub(crate) certainty: *const c_char,
}

/// `enum cachemaint_stage`, with any value that a C program can pass.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct CStage(c_uint);

impl CStage {
    fn checked(self) -> Result<Stage, Failure> {
        match self.0 {
            0 => Ok(Stage::Stored),
            1 => Ok(Stage::Persisted),
            2 => Ok(Stage::DeepPersisted),
            other => Err(unknown_number("stage", other)),
        }
    }
}

/// `enum cachemaint_event`, with any value that a C program can pass.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct CEvent(c_uint);

impl CEvent {
    fn checked(self) -> Result<Event, Failure> {
        match self.0 {
            0 => Ok(Event::ProcessCrash),
            1 => Ok(Event::Kexec),
            2 => Ok(Event::WarmReboot),
            3 => Ok(Event::PowerLoss),
            other => Err(unknown_number("event", other)),
        }
    }
}

/// The report on a file and its texts, created on demand.
#[derive(Debug)]
pub(crate) struct Texts {
    report: FileReport,
    reason: CString,
    advice: Option<CString>,
    backing: CString,
    file_system: CString,
    mount_point: CString,
    device: CString,
    statements: Vec<StatementText>,
}

/// The texts of a statement.
#[derive(Debug)]
struct StatementText {
    stage: Stage,
    event: Event,
    text: CString,
    source: CString,
    certainty: CString,
}

impl Texts {
    fn of(report: FileReport) -> Self {
        let statements = Stage::ALL
            .iter()
            .copied()
            .flat_map(|stage| Event::ALL.iter().copied().map(move |event| (stage, event)))
            .map(|(stage, event)| StatementText::of(&report, stage, event));
        Self {
            reason: text::of(&report.reason),
            advice: report.advice.map(text::of),
            backing: text::of(report.backing.into()),
            file_system: text::of(&report.file_system),
            mount_point: text::of(&report.mount_point),
            device: text::of(&report.device),
            statements: statements.collect(),
            report,
        }
    }

    fn statement(&self, stage: Stage, event: Event) -> Option<&StatementText> {
        self.statements.iter().find(|there| there.stage == stage && there.event == event)
    }
}

impl StatementText {
    fn of(report: &FileReport, stage: Stage, event: Event) -> Self {
        let Statement { text, source, certainty, .. } = report.survives(stage, event);
        let (text, source) = (text::of(text), text::of(source));
        Self { stage, event, text, source, certainty: text::of(&certainty.to_string()) }
    }
}

fn texts(open: &Open) -> Result<&Texts, Failure> {
    if let Some(known) = open.texts.get() {
        return Ok(known);
    }
    let report = cancellation::held_off(|| FileReport::of(open.file.view()))?;
    Ok(open.texts.get_or_init(|| Texts::of(report)))
}

fn guarantee(open: &Open) -> Result<CGuarantee, Failure> {
    let texts = texts(open)?;
    let known = &texts.report;
    Ok(CGuarantee {
        granularity: match known.granularity {
            Granularity::Byte => 0,
            Granularity::Line(_) => 1,
            Granularity::Page(_) => 2,
        },
        backing: backing(known.backing),
        unit: known.granularity.bytes(),
        reason: texts.reason.as_ptr(),
        advice: text::address(texts.advice.as_deref()),
        backing_name: texts.backing.as_ptr(),
        file_system: texts.file_system.as_ptr(),
        mount_point: texts.mount_point.as_ptr(),
        device: texts.device.as_ptr(),
    })
}

/// Returns the number of a backing in the header.
const fn backing(backing: Backing) -> c_int {
    match backing {
        Backing::Storage => 1,
        Backing::Ram => 2,
        Backing::EmulatedPmem => 3,
        Backing::PmemAdr => 4,
        Backing::PmemEadr => 5,
        Backing::CxlGpf => 6,
        Backing::Cxl => 7,
        Backing::PmemUnknown => 8,
        Backing::VirtioPmem => 9,
        Backing::FileSystem => 10,
        _ => 0,
    }
}

fn survival(open: &Open, stage: Stage, event: Event) -> Result<CSurvival, Failure> {
    let all = texts(open)?;
    let texts = all.statement(stage, event);
    Ok(CSurvival {
        answer: match all.report.survives(stage, event).answer {
            Survival::NotPromised => 1,
            Survival::If(_) => 2,
            Survival::Yes => 3,
            _ => 0,
        },
        reserved: 0,
        text: text::address(texts.map(|texts| &*texts.text)),
        source: text::address(texts.map(|texts| &*texts.source)),
        certainty: text::address(texts.map(|texts| &*texts.certainty)),
    })
}

/// Fills in the guarantee of an open file.
///
/// # Safety
/// 1. `file` is null or was returned by `cachemaint_open`, and no thread closes it meanwhile.
/// 2. `into` is null or can be written for `size` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_get_guarantee(
    file: *const Handle,
    into: *mut CGuarantee,
    size: usize,
) -> c_int {
    // SAFETY: (1) is the caller's duty.
    let open = unsafe { Handle::open(file) };
    number(open.and_then(|open| {
        let known = guarantee(open)?;
        // SAFETY: (2) is the caller's duty.
        unsafe { arguments::fill(into, size, &known) }
    }))
}

/// Fills in the survival of an event by bytes of the file.
///
/// # Safety
/// 1. `file` is null or was returned by `cachemaint_open`, and no thread closes it meanwhile.
/// 2. `into` is null or can be written for `size` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cachemaint_get_survival(
    file: *const Handle,
    stage: CStage,
    event: CEvent,
    into: *mut CSurvival,
    size: usize,
) -> c_int {
    let filled = || {
        // SAFETY: (1) is the caller's duty.
        let open = unsafe { Handle::open(file) }?;
        let survival = survival(open, stage.checked()?, event.checked()?)?;
        // SAFETY: (2) is the caller's duty.
        unsafe { arguments::fill(into, size, &survival) }
    };
    number(filled())
}
