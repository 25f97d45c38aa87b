//! Reading a hierarchy file: time and memory, in a process of its own.

use patchwave::hierarchy::Hierarchy;

use crate::clock::timed;
use crate::fleet::teams;
use crate::graph::whole;
use crate::table::Row;

/// Loads a file of so many images once.
pub(crate) fn measure(images: usize) -> Result<Vec<Row>, String> {
    let yaml = teams(images);
    let before = peak()?;
    let (loaded, time) = timed(|| Hierarchy::parse("teams.yaml", &yaml));
    let hierarchy = loaded.map_err(|errors| errors.to_string())?;
    if hierarchy.len() != images {
        return Err(format!("{} of {images} images were loaded", hierarchy.len()));
    }
    let megabytes = whole(yaml.len()) / 1e6;
    let what = format!("{images} images, {megabytes:.0} MB of YAML");
    Ok(vec![
        Row::at_most(&format!("loading {what}"), time.as_secs_f64(), 2.0, "s"),
        Row::at_most("… with a peak of memory of", peak()?, 600.0, "MB"),
        Row::at_most("… of which the text and the process", before, 600.0, "MB"),
    ])
}

/// Returns the most memory that the process has had, in megabytes. Linux only.
fn peak() -> Result<f64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|e| e.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<usize>().ok());
    kilobytes.map(|kilobytes| whole(kilobytes) / 1e3).ok_or_else(|| "no VmHWM".to_owned())
}
