//! The words of a command line, as a shell splits them.

/// Returns the words of a line: separated by whitespace, and taken literally within quotes of either kind.
pub fn words(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut quote) = (Vec::new(), None);
    let mut word: Option<String> = None;
    for character in line.chars() {
        match (character, quote) {
            (_, Some(end)) if character == end => quote = None,
            ('\'' | '"', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (' ' | '\t' | '\n', None) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    match quote {
        Some(open) => Err(format!("a quotation mark {open} is not closed")),
        None => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn blanks_separate_words_and_quotes_keep_them() {
        let split = |line| words(line).unwrap();
        assert_eq!(split("check  --all x.db "), ["check", "--all", "x.db"]);
        assert_eq!(
            split(r#"-c 'test "$(cat f)" = 7' a"b c"d"#),
            ["-c", r#"test "$(cat f)" = 7"#, "ab cd"]
        );
        assert_eq!(split("'' a"), ["", "a"]);
        assert!(split(" ").is_empty());
        assert!(words("-c 'test").unwrap_err().contains("not closed"));
    }
}
