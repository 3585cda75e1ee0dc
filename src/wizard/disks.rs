//! Questions about the devices that DRBD mirrors: chosen from what was found, named by serial where something is on them.

use std::sync::Arc;

use super::Known;
use super::question::{Check, Choice, Kind, Question, Values};
use crate::device::{SMALLEST, bytes, names_one_disk};
use crate::facts::disk::{Content, Disk};

const PART: &str = "Storage";

/// The device of each node; consent where it holds something; the size where it is to be made.
pub(super) fn devices(known: &Known<'_>) -> Option<Question> {
    for n in 0..2 {
        let path = format!("nodes[{n}].device");
        if !known.draft.has("storage.device") && !known.draft.has(&path) {
            let text = format!("Which device of {} is mirrored by DRBD?", known.name(n));
            let choices = choices(known, n);
            let why = known.step("partition", "nodes[].device");
            if choices.iter().any(Choice::open) {
                return Some(Question::choose(path, PART, text, choices).because(why));
            }
            let text = format!("Nothing free was found on {}. Path of the device that DRBD mirrors", known.name(n));
            return Some(Question::text(path, PART, text, None).because(why));
        }
        if let Some(question) = consent(known, n) {
            return Some(question);
        }
    }
    let made = (0..2).any(|n| known.draft.get(&format!("@device:{n}")).as_deref() == Some("made"));
    (made && !known.draft.has("storage.create")).then(|| {
        let room = (0..2).filter_map(|n| known.draft.get(&format!("@room:{n}"))?.parse::<u64>().ok()).min();
        let room = room.map_or_else(String::new, |room| format!(" (rest is {} on both)", bytes(room)));
        let text = format!("How large is the new partition?{room}");
        Question::text("storage.create", PART, text, Some("rest".to_owned()))
            .because(known.step("partition", "storage.create"))
    })
}

/// A disk in words: `sda, 500 GiB Samsung SSD 870, S/N S5Y1`.
fn words(disk: &Disk) -> String {
    let mut words = format!("{}, {}", disk.name, bytes(disk.bytes));
    if !disk.model.is_empty() {
        words.push_str(&format!(" {}", disk.model));
    }
    if names_one_disk(&disk.serial) {
        words.push_str(&format!(", S/N {}", disk.serial));
    }
    words
}

/// A name under /dev/disk/by-id says which disk is meant, whatever the kernel calls it after the next boot.
fn stable(path: &str, by_id: &[String]) -> String {
    let best = by_id.iter().find(|name| !name.starts_with("wwn-") && !name.starts_with("nvme-eui"));
    best.or_else(|| by_id.first()).map_or_else(|| path.to_owned(), |name| format!("/dev/disk/by-id/{name}"))
}

fn holds(content: &Content) -> Option<String> {
    (!content.kind.is_empty()).then(|| content.words())
}

/// What is in the way of taking a device at all.
fn obstacle(disk: &Disk, size: u64, uses: &[String]) -> Option<String> {
    if let Some(first) = uses.first() {
        return Some(first.clone());
    }
    if disk.read_only {
        return Some("write-protected".to_owned());
    }
    (size < SMALLEST).then(|| format!("too small: DRBD needs {}", bytes(SMALLEST)))
}

fn choices(known: &Known<'_>, n: usize) -> Vec<Choice> {
    let (mut free, mut held, mut not) = (Vec::new(), Vec::new(), Vec::new());
    for disk in &known.facts[n].disks {
        let names: Vec<String> =
            std::iter::once(&disk.serial).filter(|s| names_one_disk(s)).chain(&disk.by_id).cloned().collect();
        let mut offer = |label: String, device: String, size: u64, content: &Content, uses: &[String]| {
            if let Some(why) = obstacle(disk, size, uses) {
                return not.push(Choice::not(label, why));
            }
            let mut values: Values = vec![
                (format!("nodes[{n}].device"), device),
                (format!("@device:{n}"), "there".to_owned()),
                (format!("@room:{n}"), size.to_string()),
            ];
            match holds(content) {
                None => free.push(Choice::values(format!("{label}, nothing known on it"), values)),
                Some(what) if names.is_empty() => {
                    not.push(Choice::not(
                        format!("{label}, holds {what}"),
                        "no serial to name it by: empty it by hand",
                    ));
                }
                Some(what) => {
                    values.push((format!("@holds:{n}"), what.clone()));
                    values.push((format!("@names:{n}"), names.join("\n")));
                    held.push(Choice::values(format!("{label}, holds {what}: will be erased"), values));
                }
            }
        };
        if disk.table.is_empty() {
            offer(
                format!("{}: the whole disk", words(disk)),
                stable(&disk.path(), &disk.by_id),
                disk.bytes,
                &disk.content,
                &disk.uses,
            );
            continue;
        }
        for part in disk.parts.iter().filter(|part| !part.extended) {
            let name = part.path.trim_start_matches("/dev/");
            let label = format!("{name}, {} on {}", bytes(part.bytes), words(disk));
            offer(label, stable(&part.path, &part.by_id), part.bytes, &part.content, &part.uses);
        }
        let number = disk.next_number();
        let logical = disk.table == "dos" && number > 4;
        if disk.room() >= SMALLEST && !logical && !disk.read_only {
            let path = disk.partition_path(number);
            // A name of the disk by id is one of the new partition as well.
            let device = match stable(&disk.path(), &disk.by_id) {
                disk if disk.starts_with("/dev/disk/by-id/") => format!("{disk}-part{number}"),
                _ => path.clone(),
            };
            let label = format!(
                "{}: free space, {}; {} is made",
                words(disk),
                bytes(disk.room()),
                path.trim_start_matches("/dev/")
            );
            free.push(Choice::values(
                label,
                vec![
                    (format!("nodes[{n}].device"), device),
                    (format!("@device:{n}"), "made".to_owned()),
                    (format!("@room:{n}"), disk.room().to_string()),
                ],
            ));
        }
    }
    for volume in known.facts[n].volumes.iter().filter(|volume| volume.kind != "mpath") {
        let label = format!("{}, {} {}", volume.path, bytes(volume.bytes), volume.kind);
        let values: Values = vec![
            (format!("nodes[{n}].device"), volume.path.clone()),
            (format!("@device:{n}"), "there".to_owned()),
            (format!("@room:{n}"), volume.bytes.to_string()),
        ];
        match (volume.uses.first(), holds(&volume.content)) {
            (Some(used), _) => not.push(Choice::not(label, used.clone())),
            (None, Some(what)) => not.push(Choice::not(format!("{label}, holds {what}"), "empty it by hand")),
            (None, None) => free.push(Choice::values(label, values)),
        }
    }
    free.into_iter().chain(held).chain(not).collect()
}

/// Whoever wants to lose what is on a device types its serial.
fn consent(known: &Known<'_>, n: usize) -> Option<Question> {
    let path = format!("nodes[{n}].erase");
    let what = known.draft.get(&format!("@holds:{n}"))?;
    if known.draft.has(&path) {
        return None;
    }
    let names: Vec<String> = known.draft.get(&format!("@names:{n}"))?.lines().map(str::to_owned).collect();
    let device = known.draft.get(&format!("nodes[{n}].device"))?;
    let shown = names.first().cloned().unwrap_or_default();
    let text = format!("{device} of {} holds {what}. To let it be destroyed, type its serial ({shown})", known.name(n));
    let key = path.clone();
    let check: Check = Arc::new(move |typed: &str| {
        if names.iter().any(|name| name == typed) {
            return Ok(vec![(key.clone(), typed.to_owned())]);
        }
        Err(format!("`{typed}` does not name this disk; it is {}. Esc goes back to another device.", names.join(", ")))
    });
    let why = known.step("partition", "nodes[].erase");
    Some(Question::new(path, PART, text, Kind::Text { default: None, check }).because(why))
}
