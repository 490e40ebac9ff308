//! Control: replaces a file with write and rename. `dir` calls `fsync` on the file and then on its directory, `file`
//! only on the file, `none` on neither.

use lose_lines_engines::{Engine, Entries, Result, command};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};

/// All keys in one file: for each, the lengths and the bytes.
struct OneFile(String, Vec<(String, Vec<u8>)>);

fn parse(mut bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut take = |n: usize| bytes.split_off(..n).ok_or("the file ends early");
    let mut found = Vec::new();
    while let Ok(head) = take(8) {
        let length =
            |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("4 bytes")) as usize;
        found.push((String::from_utf8(take(length(0))?.to_vec())?, take(length(4))?.to_vec()));
    }
    Ok(found)
}

impl Engine for OneFile {
    fn open(setting: &str) -> Result<Self> {
        match fs::read("state") {
            Ok(bytes) if bytes.is_empty() => Err("the file is empty".into()),
            Ok(bytes) => Ok(Self(setting.to_owned(), parse(&bytes)?)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Self(setting.to_owned(), Vec::new())),
            Err(e) => Err(e.into()),
        }
    }
    fn commit(&mut self, entries: &Entries) -> Result<()> {
        for (key, value) in entries {
            self.1.retain(|(old, _)| old != key);
            self.1.push((key.clone(), value.clone()));
        }
        let mut bytes = Vec::new();
        for (key, value) in &self.1 {
            bytes.extend(u32::try_from(key.len())?.to_le_bytes());
            bytes.extend(u32::try_from(value.len())?.to_le_bytes());
            bytes.extend(key.as_bytes());
            bytes.extend(value);
        }
        let mut file = File::create("state.new")?;
        file.write_all(&bytes)?;
        if self.0 != "none" {
            file.sync_all()?;
        }
        fs::rename("state.new", "state")?;
        if self.0 == "dir" {
            File::open(".")?.sync_all()?;
        }
        Ok(())
    }
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.1.iter().find(|(found, _)| found == key).map(|(_, value)| value.clone()))
    }
}

fn main() {
    command::<OneFile>();
}
