//! A sweep as a table for other programs.

use crate::summary::{Sweep, Verdict};

/// A row for each point: its values, each metric with the ends of its interval, the verdict and the warnings. Times are
/// seconds, sizes bytes, shares 0 to 1; what has no value is empty.
///
/// # Panics
/// Never: a vector takes everything.
#[must_use]
pub fn sweep(sweep: &Sweep) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut titles: Vec<String> = sweep.axes.iter().map(|axis| axis.path.clone()).collect();
    for metric in &sweep.metrics {
        let name = metric.path.join(".");
        titles.extend([name.clone(), format!("{name} low"), format!("{name} high")]);
    }
    titles.extend(["expect".into(), "warnings".into()]);
    writer.write_record(&titles).expect("a vector takes everything");
    for (index, point) in sweep.points.iter().enumerate() {
        let mut row: Vec<String> = sweep.values(index).into_iter().map(str::to_owned).collect();
        for reading in &point.readings {
            let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
            let ends = reading.and_then(|reading| reading.interval);
            let high = ends.map(|ends| ends.1).filter(|high| high.is_finite());
            row.extend([reading.map(|reading| reading.value), ends.map(|ends| ends.0), high].map(number));
        }
        row.push(point.verdict.map_or("", Verdict::word).to_owned());
        row.push(point.warnings.join(" "));
        writer.write_record(&row).expect("a vector takes everything");
    }
    String::from_utf8(writer.into_inner().expect("a vector takes everything")).expect("written from text")
}
