//! Whether either node can run everything: processors and memory.

use super::{Evidence, Finding};
use crate::answers::{HypervisorKind, VmSource};
use crate::node::At;

/// What KVM's host keeps for itself, in MiB: dom0 has a size of its own in the answers.
const HOST_MIB: u64 = 1024;

/// Processors alike enough for a VM to move while it runs.
pub(super) fn processors(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    if e.answers.hypervisor.kind == HypervisorKind::StandIn {
        return;
    }
    let [first, second] = e.facts.each_ref().map(|facts| &facts.cpu);
    if first.vendor != second.vendor && !first.vendor.is_empty() && !second.vendor.is_empty() {
        found.push(Finding::error(
            "cpu-vendor",
            None,
            format!("{} has {} and {} has {}", e.name(At::First), first.model, e.name(At::Second), second.model),
            "use processors of one maker; with --ignore cpu-vendor VMs can only be stopped and started elsewhere",
        ));
    } else if e.facts[0].dom0 == e.facts[1].dom0 {
        // Under Xen dom0 sees less than the same machine without it.
        for at in At::BOTH {
            let more = e.fact(at).cpu.more_than(&e.fact(at.peer()).cpu);
            if !more.is_empty() {
                found.push(Finding::warning(
                    "cpu-flags",
                    Some(e.name(at)),
                    format!("its processor can do what that of {} can't: {}", e.name(at.peer()), shortened(&more)),
                    "give the VMs only what both can do (`cpuid` in xl.cfg, a CPU model in libvirt), or expect that they can't move from here",
                ));
            }
        }
    }
    for at in At::BOTH {
        let facts = e.fact(at);
        let able = match facts.presence.xen("virt_caps") {
            Some(caps) => caps.split_whitespace().any(|cap| cap == "hvm"),
            None => facts.dom0 || facts.cpu.flags.is_empty() || facts.cpu.virtualizes(),
        };
        if !able && !e.answers.hypervisor.pv_guests() {
            found.push(Finding::error(
                "cpu-virtualization",
                Some(e.name(at)),
                format!("{} offers no help for virtual machines (neither vmx nor svm)", facts.cpu.model),
                "switch virtualization (VT-x, AMD-V) on in the firmware setup; in a virtual machine, let its host pass it on",
            ));
        }
    }
}

fn shortened(flags: &[&str]) -> String {
    const MOST: usize = 12;
    match flags.len() {
        0..=MOST => flags.join(" "),
        more => format!("{} and {} more", flags[..MOST].join(" "), more - MOST),
    }
}

/// Memory for all VMs on one node.
pub(super) fn memory(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    if e.answers.hypervisor.kind == HypervisorKind::StandIn {
        return;
    }
    let vms: u64 = e
        .answers
        .vms
        .iter()
        .map(|vm| match &vm.source {
            VmSource::Made { memory_mib, .. } => *memory_mib,
            // Its own file says how much: it is not read here.
            VmSource::Config { .. } => 0,
        })
        .sum();
    let own = if e.uses_xen() { e.answers.hypervisor.dom0_memory_mib } else { HOST_MIB };
    for at in At::BOTH {
        let has = e.fact(at).machine_memory_mib;
        if has > 0 && vms + own > has {
            found.push(Finding::error(
                "memory",
                Some(e.name(at)),
                format!("it has {has} MiB; all VMs together take {vms} MiB, and the node itself {own} MiB"),
                "give the machine more memory, the VMs less, or have fewer VMs",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::samples::Sample;

    #[test]
    fn processors_must_be_alike() {
        let mut sample = Sample::default();
        sample.facts[0].cpu.flags.insert("avx512f".to_owned());
        let findings = sample.find();
        assert_eq!((findings.len(), findings[0].name, findings[0].error), (1, "cpu-flags", false));
        assert!(findings[0].what.ends_with("can't: avx512f"), "{}", findings[0].what);
        // One under Xen, one not yet: they can't be compared.
        sample.facts[1].dom0 = true;
        assert!(sample.names().is_empty());
        sample.facts[1].cpu.vendor = "GenuineIntel".to_owned();
        assert_eq!(sample.names(), ["cpu-vendor"]);
        sample.answers.hypervisor.kind = HypervisorKind::StandIn;
        assert!(sample.names().is_empty());
    }

    #[test]
    fn guests_need_the_processors_help() {
        let mut sample = Sample::default();
        for facts in &mut sample.facts {
            facts.cpu.flags.remove("svm");
        }
        assert_eq!(sample.names(), ["cpu-virtualization", "cpu-virtualization"]);
        for facts in &mut sample.facts {
            facts.presence.xen_info = vec![("virt_caps".to_owned(), "pv hvm hap".to_owned())];
        }
        assert!(sample.names().is_empty());
    }

    #[test]
    fn all_vms_must_fit_on_one_node() {
        let mut sample = Sample::default();
        sample.facts[1].machine_memory_mib = 1500;
        let findings = sample.find();
        assert_eq!((findings.len(), findings[0].name, findings[0].node.as_deref()), (1, "memory", Some("node2")));
        assert_eq!(findings[0].what, "it has 1500 MiB; all VMs together take 512 MiB, and the node itself 1024 MiB");
        sample.facts[1].machine_memory_mib = 1536;
        assert!(sample.names().is_empty());
    }

    #[test]
    fn a_long_list_is_shortened() {
        let flags: Vec<String> = (0..15).map(|n| format!("f{n}")).collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        assert_eq!(shortened(&flags), "f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 f11 and 3 more");
        assert_eq!(shortened(&flags[..2]), "f0 f1");
    }
}
