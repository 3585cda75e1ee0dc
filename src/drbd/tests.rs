use super::*;

const SYNC_80: &str = "version: 8.0.3 (api:86/proto:86)
SVN Revision: 2881 build by root@node1, 2008-01-20 12:48:36
 0: cs:SyncSource st:Primary/Secondary ds:UpToDate/Inconsistent C r---
    ns:1052672 nr:0 dw:0 dr:1052672 al:0 bm:64 lo:0 pe:5 ua:32 ap:0
	[=>..................] sync'ed:  8.7% (10803/11811)M
	finish: 0:18:24 speed: 10,024 (9,876) K/sec
	resync: used:0/31 hits:8916 misses:22 starving:0 dirty:0 changed:22
";

const SYNC_83: &str = "version: 8.3.12 (api:88/proto:86-96)
GIT-hash: e2a8ef4656be026bbae540305fcb998a5991090f
 0: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----
    ns:0 nr:2466144 dw:2466144 dr:0 al:0 bm:663 lo:0 pe:6241 ua:0 ap:0 ep:1 wo:b oos:1039000
	[========>...........] sync'ed: 49.0% (1039000/2031448)K
	finish: 0:03:39 speed: 4,728 (6,616) want: 51,200 K/sec

 2: cs:Unconfigured
";

#[test]
fn proc_of_80_and_83() {
    let found = proc(SYNC_80);
    assert_eq!(found.version.as_deref(), Some("8.0.3"));
    let d = found.minor(0).expect("minor 0");
    assert_eq!((d.role.as_str(), d.peer_disk.as_str()), ("Primary", "Inconsistent"));
    let sync = d.sync.as_ref().expect("sync");
    assert_eq!(
        (sync.percent, sync.left_kib, sync.eta_seconds, sync.speed_kib),
        (8.7, Some(10803 * 1024), Some(1104), Some(10024))
    );
    let found = proc(SYNC_83);
    assert_eq!(found.devices.len(), 1);
    let sync = found.devices[0].sync.as_ref().expect("sync");
    assert_eq!((sync.left_kib, sync.eta_seconds, sync.speed_kib), (Some(1_039_000), Some(219), Some(4728)));
    assert!(!found.devices[0].whole() && found.devices[0].connected() && found.devices[0].syncing());
}

#[test]
fn proc_of_84_idle_and_alone() {
    let found = proc(
        "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: F73C670A7EC572DB9CF3E5B \n\n 1: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----\n    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0\n 2: cs:WFConnection ro:Primary/Unknown ds:UpToDate/DUnknown C r-----\n",
    );
    assert!(found.minor(0).is_none());
    assert!(found.minor(1).is_some_and(Device::whole));
    assert!(found.minor(2).is_some_and(|d| !d.connected() && d.peer_role == "Unknown"));
}

#[test]
fn status_of_9_and_84() {
    let d = status("r0 role:Primary\n  disk:UpToDate\n  node2 role:Secondary\n    replication:SyncSource peer-disk:Inconsistent done:8.70\n\n", "r0").expect("r0");
    assert_eq!((d.connection.as_str(), d.peer_role.as_str()), ("SyncSource", "Secondary"));
    assert_eq!(d.sync.as_ref().map(|s| s.percent), Some(8.7));
    let d =
        status("r0 role:Primary\n  disk:UpToDate\n  node2 role:Primary\n    peer-disk:UpToDate\n", "r0").expect("r0");
    assert!(d.whole());
    let d = status("r0 role:Secondary\n  disk:Inconsistent\n  peer role:Secondary\n    replication:Established peer-disk:Inconsistent\n", "r0").expect("r0");
    assert!(d.connected() && !d.whole());
    let d = status("r0 role:Secondary\n  disk:UpToDate\n  node2 connection:Connecting\n", "r0").expect("r0");
    assert_eq!((d.connection.as_str(), d.peer_disk.as_str()), ("WFConnection", "DUnknown"));
    let d = status("r0 role:Secondary\n  disk:UpToDate\n  node2 connection:StandAlone\n", "r0").expect("r0");
    assert!(!d.connected());
    assert!(status("# No currently configured DRBD found.\n", "r0").is_none());
}

#[test]
fn dialects() {
    for (version, want) in [("8.0.3", "8.0"), ("8.3.16", "8.0"), ("8.4.11", "8.4"), ("9.2.2", "9"), ("10.0", "9")] {
        assert_eq!(dialect(version), want);
    }
}

#[test]
fn views() {
    let out = |s: &str| Output { stdout: s.into(), ..Output::default() };
    let v = view(&out(""), "r0", 0);
    assert_eq!(v, View::default());
    let v = view(
        &out(
            "version: 9.2.2 (api:2/proto:86-121)\n=== status\nr0 role:Secondary\n  disk:Inconsistent\n  node2 connection:Connecting\n\n=== gi\n\n",
        ),
        "r0",
        0,
    );
    assert!(v.gi.is_none() && v.device.is_some());
}
