//! The header against this package: the C compiler checks each prototype, layout and number.

use crate::arguments::{CDestination, CRange};
use crate::error::Code;
use crate::handle::Handle;
use crate::host::CHost;
use crate::promises::{CEvent, CGuarantee, CStage, CSurvival};
use crate::{arguments, caches, error, files, host, promises};
use core::ffi::{c_char, c_int, c_uchar, c_uint, c_void};
use core::fmt::Write as _;
use core::mem::{offset_of, size_of};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const HEADER: &str = include_str!("../include/cachemaint.h");

/// A type with a name in C.
trait CType {
    fn name() -> String;
}

macro_rules! c_types {
    ($($rust:ty: $c:literal,)*) => {
        $(impl CType for $rust {
            fn name() -> String {
                String::from($c)
            }
        })*
    };
}

c_types! {
    c_char: "char",
    c_int: "int",
    c_uchar: "unsigned char",
    c_uint: "unsigned",
    c_void: "void",
    u64: "uint64_t",
    usize: "size_t",
    Handle: "cachemaint_file",
    CRange: "struct cachemaint_range",
    CHost: "struct cachemaint_host",
    CGuarantee: "struct cachemaint_guarantee",
    CSurvival: "struct cachemaint_survival",
    CDestination: "enum cachemaint_destination",
    CStage: "enum cachemaint_stage",
    CEvent: "enum cachemaint_event",
}

impl<T: CType> CType for *const T {
    fn name() -> String {
        format!("const {} *", T::name())
    }
}

impl<T: CType> CType for *mut T {
    fn name() -> String {
        format!("{} *", T::name())
    }
}

/// A function that C programs call.
trait Signature {
    /// Returns the result and the arguments in C.
    fn in_c() -> (String, Vec<String>);
}

macro_rules! signatures {
    ($(($($argument:ident),*))*) => {
        $(impl<R: CType, $($argument: CType),*> Signature for unsafe extern "C" fn($($argument),*) -> R {
            fn in_c() -> (String, Vec<String>) {
                (R::name(), vec![$($argument::name()),*])
            }
        })*
    };
}

signatures! { () (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) }

/// Returns the declaration of a pointer to a function, which the compiler refuses if the header declares another type.
fn pointer<S: Signature>(name: &str, _function: S) -> String {
    let (result, arguments) = S::in_c();
    let arguments = if arguments.is_empty() { String::from("void") } else { arguments.join(", ") };
    format!("{result} (*const pointer_to_{name})({arguments}) = {name};\n")
}

/// The functions, each as its name and the declaration of a pointer to it.
fn functions() -> BTreeMap<&'static str, String> {
    macro_rules! each {
        ($($module:ident::$name:ident($($argument:ty),*) -> $result:ty,)*) => {
            BTreeMap::from([$({
                let function: unsafe extern "C" fn($($argument),*) -> $result = $module::$name;
                (stringify!($name), pointer(stringify!($name), function))
            }),*])
        };
    }
    use crate as version;
    each! {
        version::cachemaint_version() -> _,
        error::cachemaint_error_message() -> _,
        error::cachemaint_error_errno() -> _,
        host::cachemaint_get_host(_, _) -> _,
        caches::cachemaint_cache_writeback(_, _) -> _,
        caches::cachemaint_cache_invalidate(_, _) -> _,
        caches::cachemaint_cache_writeback_invalidate(_, _) -> _,
        caches::cachemaint_cache_writeback_ranges(_, _) -> _,
        caches::cachemaint_cache_order_observed() -> _,
        caches::cachemaint_cache_copy(_, _, _, _) -> _,
        caches::cachemaint_cache_fill(_, _, _, _) -> _,
        files::cachemaint_open(_, _, _, _) -> _,
        files::cachemaint_close(_) -> _,
        files::cachemaint_address(_) -> _,
        files::cachemaint_length(_) -> _,
        files::cachemaint_grow(_, _) -> _,
        files::cachemaint_persist(_, _, _) -> _,
        files::cachemaint_persist_ranges(_, _, _) -> _,
        files::cachemaint_issue_writeback(_, _, _) -> _,
        files::cachemaint_fence(_) -> _,
        files::cachemaint_order_observed(_) -> _,
        files::cachemaint_deep_persist(_, _, _) -> _,
        files::cachemaint_persist_copy(_, _, _, _, _) -> _,
        files::cachemaint_persist_fill(_, _, _, _, _) -> _,
        files::cachemaint_issue_copy(_, _, _, _, _) -> _,
        files::cachemaint_issue_fill(_, _, _, _, _) -> _,
        files::cachemaint_check(_) -> _,
        files::cachemaint_bad_blocks(_, _, _, _, _) -> _,
        promises::cachemaint_get_guarantee(_, _, _) -> _,
        promises::cachemaint_get_survival(_, _, _, _, _) -> _,
    }
}

/// Returns assertions about the layouts of the structures.
fn layouts() -> String {
    let mut text = String::new();
    macro_rules! each {
        ($($rust:ident { $($field:ident),* })*) => {
            $(
                let name = $rust::name();
                writeln!(text, "static_assert(sizeof({name}) == {}, \"\");", size_of::<$rust>()).unwrap();
                $(
                    let at = offset_of!($rust, $field);
                    let field = stringify!($field);
                    writeln!(text, "static_assert(offsetof({name}, {field}) == {at}, \"\");").unwrap();
                )*
            )*
        };
    }
    each! {
        CRange { address, length }
        CHost {
            line_size, granule, writeback, writeback_fence_before, writeback_fence, invalidate,
            invalidate_fence_before, invalidate_fence, persist, persist_refused
        }
        CGuarantee {
            granularity, backing, unit, reason, advice, backing_name, file_system, mount_point, device
        }
        CSurvival { answer, reserved, text, source, certainty }
    }
    text
}

/// The numbers of the header. They never change.
fn numbers() -> BTreeMap<&'static str, u32> {
    let errors = [
        ("INVALID_ARGUMENT", Code::InvalidArgument),
        ("OUT_OF_RANGE", Code::OutOfRange),
        ("CLOSED", Code::Closed),
        ("UNSUPPORTED", Code::Unsupported),
        ("NOT_FOUND", Code::NotFound),
        ("EXISTS", Code::Exists),
        ("NOT_A_FILE", Code::NotAFile),
        ("PERMISSION", Code::Permission),
        ("LOCKED", Code::Locked),
        ("TOO_SHORT", Code::TooShort),
        ("NO_SPACE", Code::NoSpace),
        ("TOO_COARSE", Code::TooCoarse),
        ("NOT_ALLOCATED", Code::NotAllocated),
        ("WRITEBACK_FAILED", Code::WritebackFailed),
        ("NOT_FLUSHED", Code::NotFlushed),
        ("MEDIA_ERROR", Code::MediaError),
        ("UNKNOWN", Code::Unknown),
        ("SYSTEM", Code::System),
    ];
    let flags = [
        ("CREATE", files::CREATE),
        ("NEW", files::NEW),
        ("ALLOW_PAGES", files::ALLOW_PAGES),
        ("SHARED_LOCK", files::SHARED_LOCK),
        ("NO_LOCK", files::NO_LOCK),
        ("POPULATE", files::POPULATE),
    ];
    let lists: [&[&str]; 6] = [
        &["ANYWHERE", "CACHED", "COLD"],
        &["BYTE", "LINE", "PAGE"],
        &[
            "BACKING_UNKNOWN",
            "BACKING_STORAGE",
            "BACKING_RAM",
            "BACKING_EMULATED_PMEM",
            "BACKING_PMEM_ADR",
            "BACKING_PMEM_EADR",
            "BACKING_CXL_GPF",
            "BACKING_CXL",
            "BACKING_PMEM_UNKNOWN",
            "BACKING_VIRTIO_PMEM",
            "BACKING_FILE_SYSTEM",
        ],
        &["STORED", "PERSISTED", "DEEP_PERSISTED"],
        &["PROCESS_CRASH", "KEXEC", "WARM_REBOOT", "POWER_LOSS"],
        &["LOST", "NOT_PROMISED", "CONDITIONAL", "KEPT"],
    ];
    let listed = lists.into_iter().flat_map(|names| names.iter().copied().zip(0..));
    let errors = errors.into_iter().map(|(name, code)| (name, code as u32));
    errors.chain(flags).chain(listed).chain([("OK", 0)]).collect()
}

/// Returns the constants of the header without their prefix.
fn constants() -> BTreeMap<&'static str, u32> {
    let lines = HEADER.lines().filter_map(|line| line.trim().strip_prefix("CACHEMAINT_"));
    lines
        .filter_map(|line| line.trim_end_matches(',').split_once(" = "))
        .map(|(name, number)| (name, number.parse().unwrap()))
        .collect()
}

/// Returns the names of the header's prototypes.
fn prototypes() -> Vec<&'static str> {
    let code = HEADER.split("*/").map(|part| part.split("/*").next().unwrap_or_default());
    let words = code.flat_map(|code| code.split('(')).filter_map(|before| {
        before.rsplit(|letter: char| !letter.is_alphanumeric() && letter != '_').next()
    });
    let mut names: Vec<&str> = words.filter(|word| word.starts_with("cachemaint_")).collect();
    names.sort_unstable();
    names
}

fn compile(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("header.c");
    std::fs::write(&source, text).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(compiler)
        .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"])
        .args(["-fsyntax-only", "-I"])
        .args([&include, &source])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const INCLUDES: &str = "#include <assert.h>\n#include <cachemaint.h>\n";

#[test]
fn the_header_declares_each_function_with_its_types() {
    let functions = functions();
    assert_eq!(prototypes(), functions.keys().copied().collect::<Vec<_>>());
    let pointers: String = functions.into_values().collect();
    assert_eq!(compile(&format!("{INCLUDES}{pointers}")), "");
    let other = pointers.replace("(const cachemaint_file *, const void *, size_t)", "(size_t)");
    assert_ne!(compile(&format!("{INCLUDES}{other}")), "", "another type is noticed");
}

#[test]
fn the_header_lays_structures_out_as_they_are_here() {
    assert_eq!(compile(&format!("{INCLUDES}{}", layouts())), "");
}

#[test]
fn the_numbers_of_the_header_are_those_that_are_used_here() {
    assert_eq!(constants(), numbers());
    let version =
        format!("{INCLUDES}static_assert(CACHEMAINT_VERSION == {}, \"\");\n", crate::VERSION);
    assert_eq!(compile(&version), "");
}

/// A page that is no longer mapped stands in for one that cannot be written: `msync` fails (POSIX).
#[test]
fn a_failed_write_back_has_a_number_of_its_own() {
    unsafe extern "C" {
        fn munmap(start: *mut c_void, len: usize) -> c_int;
    }
    let directory = tempfile::tempdir().unwrap();
    let options = cachemaint::dax::Options::new().allow_page_granularity();
    let file = options.create_new(directory.path().join("file"), 1 << 20).unwrap();
    let cachemaint::medium::Granularity::Page(page) = file.granularity() else { return };
    // SAFETY: (1) the page is in the mapping; (2) nothing accesses it from here on.
    assert_eq!(unsafe { munmap(file.as_ptr(0).cast(), page) }, 0);
    let failed = file.persist(0..8).unwrap_err();
    assert_eq!(error::code_of(failed.kind()), Code::WritebackFailed);
}

#[test]
fn a_shorter_structure_gets_no_byte_beyond_its_size_and_a_longer_one_zeros() {
    let value = [1_u32, 2];
    let mut shorter = [9_u32; 2];
    // SAFETY: (1) it has 8 bytes.
    unsafe { arguments::fill(&raw mut shorter, 4, &value) }.unwrap();
    assert_eq!(shorter, [1, 9]);
    let mut longer = [9_u32; 4];
    // SAFETY: (1) it has 16 bytes.
    unsafe { arguments::fill((&raw mut longer).cast(), 12, &value) }.unwrap();
    assert_eq!(longer, [1, 2, 0, 9]);
}
