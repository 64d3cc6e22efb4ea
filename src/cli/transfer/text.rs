//! Numbers and names for people.

use netdb::backup::Header;
use netdb::repl::utc;

/// So many bytes, in the unit that says something.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1_000 {
        return format!("{count} bytes");
    }
    let mut scaled = count as f64 / 1e3;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while scaled >= 999.95
        && let Some(next) = units.next()
    {
        scaled /= 1e3;
        unit = Some(next);
    }
    format!("{scaled:.1} {}", unit.unwrap_or(&"TB"))
}

/// `1 value`, `2 values`.
pub fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// Where a backup comes from.
pub fn origin(header: &Header) -> String {
    let (node, cluster) = (&header.node, &header.cluster);
    format!("{node} (cluster {cluster}, {})", utc(header.taken_ms))
}

/// `a`, `a and b`, `a, b and c`.
pub fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
