//! The excerpts of programs in documents, which have no compiler of their own.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// Returns the first line of the document's blocks of `language` that is not a line of the program behind the one before
/// it. Lines of `/* … */` stand for those that are left out. A line that begins with `# ` is hidden from readers.
fn missing_line(document: &str, language: &str, program: &str) -> Option<String> {
    let mut of_language = false;
    let mut text = String::new();
    for event in Parser::new_ext(document, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                of_language = &*info == language;
            }
            Event::End(TagEnd::CodeBlock) => of_language = false,
            Event::Text(lines) if of_language => text.push_str(&lines),
            _ => {}
        }
    }
    let mut lines = program.lines();
    let is_left_out =
        |line: &&str| line.is_empty() || line.trim() == "/* … */" || line.starts_with("# ");
    let mut excerpt = text.lines().filter(|line| !is_left_out(line));
    excerpt.find(|line| !lines.any(|there| there == *line)).map(str::to_owned)
}

#[test]
fn a_line_that_the_program_does_not_have_is_found() {
    let program = "a();\nb();\nc();\n";
    let document = |lines| format!("```c\n{lines}\n```\n\n```sh\ncc a.c\n```\n");
    assert_eq!(missing_line(&document("a();\n/* … */\nc();"), "c", program), None);
    assert_eq!(missing_line(&document("c();\na();"), "c", program), Some("a();".to_owned()));
    assert_eq!(missing_line(&document("a(1);"), "c", program), Some("a(1);".to_owned()));
}

/// The lab and the tests of the C library compile the program.
#[test]
fn the_excerpt_in_the_chapter_on_c_is_of_the_compiled_counter() {
    let document = include_str!("../../../docs/c.md");
    let program = include_str!("../../../capi/examples/counter.c");
    assert!(document.contains("```c\n"));
    assert_eq!(missing_line(document, "c", program), None);
}

/// The page has barriers that do nothing, to be compiled anywhere. The lab compiles the example for the CPU.
#[test]
fn the_sketch_of_a_controllers_cache_is_of_the_compiled_driver() {
    let source = include_str!("../../../src/coherence/maintain.rs");
    let driver = include_str!("../../../examples/driver/cortex_m7.rs");
    let lines = source.lines().filter_map(|line| line.strip_prefix("///"));
    let page: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    assert!(page.contains(&"pub struct CortexM7 {"));
    assert_eq!(missing_line(&page.join("\n"), "", driver), None);
}

/// The tests of the documentation compile it with `std` alone, and the lab compiles the image without.
#[test]
fn the_excerpt_on_a_kernels_ring_buffer_is_of_the_compiled_image() {
    let image = include_str!("../../../tests/lab/freestanding/src/bin/last_events/ring_buffer.rs");
    let (_, behind) = ring_buffer().split_once("A panic handler calls this function").unwrap();
    assert!(behind.contains("```rust,no_run\n"));
    assert_eq!(missing_line(behind, "rust,no_run", image), None);
}

/// The tests of the recorder run it over each content of RAM, in another medium.
#[test]
fn the_start_of_a_kernels_ring_buffer_is_of_the_tests() {
    let tests = include_str!("../../../tests/recorder/boots.rs");
    let (_, behind) = ring_buffer().split_once("    let memory = Memory::new(").unwrap();
    let (_, behind) = behind.split_once('\n').unwrap();
    let (body, _) = behind.split_once("\n}\n").unwrap();
    assert!(body.contains("memory.store("));
    assert_eq!(missing_line(&format!("```rust\n{body}\n```\n"), "rust", tests), None);
}

/// Returns the chapter on the ring.
fn ring_buffer() -> &'static str {
    let document = include_str!("../../../docs/logs-and-recorders.md");
    let (_, behind) = document.split_once("# A kernel's ring buffer\n").unwrap();
    behind.split_once("# From the shell\n").unwrap().0
}
