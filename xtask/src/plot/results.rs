//! The results of criterion: two files for each benchmark, `benchmark.json` (its name and parameters) and
//! `estimates.json` (its times), in `target/criterion/GROUP/FUNCTION/PARAMETER/new`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One benchmark whose parameter is a size.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) group: String,
    pub(super) function: String,
    pub(super) bytes: f64,
    /// The median of one iteration, in nanoseconds.
    pub(super) median: f64,
    /// The interval of the median with the confidence that criterion uses: 95 %.
    pub(super) interval: (f64, f64),
}

#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// The depth of group, function, parameter and `new`.
const DEPTH: usize = 4;

/// Returns all benchmarks below criterion's folder whose parameter is a number of bytes, by group, function and size.
pub(super) fn read(criterion: &Path) -> Result<Vec<Measured>> {
    let mut found = Vec::new();
    collect(criterion, DEPTH, &mut found).with_context(|| {
        format!(
            "cannot read the results in {}; run `cargo bench -p cachemaint-benches` first",
            criterion.display()
        )
    })?;
    found.sort_by(|one, other| {
        let names = |of: &Measured| (of.group.clone(), of.function.clone());
        names(one).cmp(&names(other)).then(one.bytes.total_cmp(&other.bytes))
    });
    Ok(found)
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<Measured>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() && depth > 0 {
            collect(&path, depth - 1, found)?;
        }
    }
    if folder.ends_with("new") {
        found.extend(measured(folder)?);
    }
    Ok(())
}

/// Returns `None` if the parameter of the benchmark is not a size.
fn measured(folder: &Path) -> Result<Option<Measured>> {
    let Some(benchmark) = json::<Benchmark>(&folder.join("benchmark.json"))? else {
        return Ok(None);
    };
    let (Some(function), Some(value)) = (benchmark.function_id, benchmark.value_str) else {
        return Ok(None);
    };
    let Ok(bytes) = value.parse::<u32>() else { return Ok(None) };
    let path = folder.join("estimates.json");
    let Some(Estimates { median }) = json(&path)? else {
        bail!("{} is missing; run the benchmark again", path.display());
    };
    let Interval { lower_bound, upper_bound } = median.confidence_interval;
    let times = [lower_bound, median.point_estimate, upper_bound];
    ensure!(
        times.iter().all(|time| time.is_finite() && *time > 0.0) && times.is_sorted(),
        "{} has no times that can be: {times:?}; run the benchmark again",
        path.display()
    );
    Ok(Some(Measured {
        group: benchmark.group_id,
        function,
        bytes: f64::from(bytes),
        median: median.point_estimate,
        interval: (lower_bound, upper_bound),
    }))
}

/// Returns `None` if there is no such file.
fn json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let parsed = serde_json::from_str(&text);
    parsed.map(Some).with_context(|| format!("{} is not a file of criterion", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{Measured, read};
    use std::fs;
    use std::path::Path;

    /// The files of criterion 0.8, without the parts that are not read.
    const BENCHMARK: &str = r#"{"group_id":"copy, cold, aligned","function_id":"nt64|clwb/all",
        "value_str":"4096","throughput":{"Bytes":4096},
        "full_id":"copy, cold, aligned/nt64|clwb/all/4096",
        "directory_name":"copy, cold, aligned/nt64_clwb_all/4096",
        "title":"copy, cold, aligned/nt64|clwb/all/4096"}"#;
    const ESTIMATES: &str = r#"{"mean":{"confidence_interval":{"confidence_level":0.95,
        "lower_bound":900.0,"upper_bound":999.0},"point_estimate":950.5,"standard_error":1.0},
        "median":{"confidence_interval":{"confidence_level":0.95,
        "lower_bound":790.5,"upper_bound":810.5},"point_estimate":800.25,"standard_error":1.0}}"#;

    fn put(criterion: &Path, name: &str, benchmark: &str, estimates: Option<&str>) {
        let folder = criterion.join("copy, cold, aligned").join(name).join("new");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("benchmark.json"), benchmark).unwrap();
        if let Some(estimates) = estimates {
            fs::write(folder.join("estimates.json"), estimates).unwrap();
        }
    }

    #[test]
    fn a_benchmark_is_named_by_what_is_in_its_file_and_has_its_median() {
        let criterion = tempfile::tempdir().unwrap();
        put(criterion.path(), "nt64_clwb_all/4096", BENCHMARK, Some(ESTIMATES));
        let smaller = BENCHMARK.replace("4096", "64");
        put(criterion.path(), "nt64_clwb_all/64", &smaller, Some(ESTIMATES));
        let found = read(criterion.path()).unwrap();
        let expected = |bytes| Measured {
            group: "copy, cold, aligned".to_owned(),
            function: "nt64|clwb/all".to_owned(),
            bytes,
            median: 800.25,
            interval: (790.5, 810.5),
        };
        assert_eq!(found, [expected(64.0), expected(4096.0)], "smaller sizes first");
    }

    #[test]
    fn benchmarks_without_sizes_and_older_ones_are_left_out() {
        let criterion = tempfile::tempdir().unwrap();
        let named = BENCHMARK.replace("\"4096\"", "\"64 B stores\"");
        put(criterion.path(), "named/64 B stores", &named, Some(ESTIMATES));
        let single = BENCHMARK.replace("\"4096\"", "null");
        put(criterion.path(), "single", &single, Some(ESTIMATES));
        let base = criterion.path().join("group/function/4096/base");
        fs::create_dir_all(&base).unwrap();
        fs::write(base.join("benchmark.json"), BENCHMARK).unwrap();
        assert_eq!(read(criterion.path()).unwrap(), []);
    }

    #[test]
    fn a_file_that_is_cut_off_missing_or_absurd_is_named() {
        let absurd = ESTIMATES.replace("800.25", "-800.25");
        for (estimates, says) in [
            (Some(&ESTIMATES[..100]), "is not a file of criterion"),
            (None, "is missing"),
            (Some(absurd.as_str()), "no times that can be"),
        ] {
            let criterion = tempfile::tempdir().unwrap();
            put(criterion.path(), "nt64/4096", BENCHMARK, estimates);
            let error = format!("{:#}", read(criterion.path()).unwrap_err());
            assert!(error.contains(says), "{error}");
            assert!(error.contains("4096/new/estimates.json"), "{error}");
        }
    }

    #[test]
    fn missing_results_name_the_command() {
        let nothing = Path::new("/nonexistent/criterion");
        let error = format!("{:#}", read(nothing).unwrap_err());
        assert!(error.contains("cargo bench -p cachemaint-benches"), "{error}");
    }
}
