//! Each kind of action in the commands of a manual.

use crate::action::kind::Action;
use crate::action::{Act as _, Order};
use crate::node::{At, Cmd};

/// What an administrator types for an action on a fresh pair. For an action about both nodes the orders say where. Empty
/// where hapair only looks, or where nothing is to be done on a fresh pair.
pub(super) fn orders(action: &Action, at: At) -> Vec<Order> {
    let here = |words: &[&str]| Order::new(at, Cmd::write(words.iter().copied()));
    let on = |at: At, words: &[&str]| Order::new(at, Cmd::write(words.iter().copied()));
    let first = |words: &[&str]| vec![on(At::First, words)];
    match action {
        Action::Packages(packages) => {
            let names = packages.names.split_whitespace().filter_map(|name| name.split('|').next());
            let mut words = vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "install"];
            words.extend(names);
            if words.len() > 5 { vec![here(&words)] } else { Vec::new() }
        }
        Action::HostNames(names) => {
            let own = format!(r"s/^\(127\..*\)[[:space:]]{}\>/\1/", names.name.replace('.', r"\."));
            let entries = [&names.address, &names.name, &names.peer_address, &names.peer].map(String::as_str);
            let mut add = vec!["sh", "-c", r#"printf "%s\t%s\n" "$@" >>/etc/hosts"#, "sh"];
            add.extend(entries);
            vec![
                here(&["hostname", &names.name]),
                here(&["sh", "-c", r#"echo "$1" >/etc/hostname"#, "sh", &names.name]),
                here(&["sed", "-i", &own, "/etc/hosts"]),
                here(&add),
            ]
        }
        Action::Service(service) => services(service, at),
        Action::KernelModule(module) => {
            let boot = if module.init == "systemd" {
                ["sh", "-c", r#"echo "$1" >"/etc/modules-load.d/$1.conf""#, "sh", &module.name]
            } else {
                ["sh", "-c", r#"echo "$1" >>/etc/modules"#, "sh", &module.name]
            };
            vec![here(&["modprobe", &module.name]), here(&boot)]
        }
        Action::BootEntry(entry) if entry.loader == "grub-legacy" => {
            let xen = r#"sed -i "s/^# xenhopt=.*/# xenhopt=$1/" "$2""#;
            let default = r#"n=$(awk '/^title/ { n++ } /^kernel.*\/xen/ { print n - 1; exit }' "$1") && sed -i "s/^default.*/default $n/" "$1""#;
            vec![
                here(&["sh", "-c", xen, "sh", &entry.arguments, "/boot/grub/menu.lst"]),
                here(&["update-grub"]),
                here(&["sh", "-c", default, "sh", "/boot/grub/menu.lst"]),
            ]
        }
        Action::BootEntry(_) => vec![here(&["update-grub"])],
        Action::Reboot(reboot) if reboot.init == "sysv" => vec![here(&["shutdown", "-r", "now"])],
        Action::Reboot(_) => vec![here(&["systemctl", "reboot"])],
        Action::SshKey(key) => {
            let make = r#"[ -e "$1" ] || ssh-keygen -q -t "$2" -N "" -f "$1""#;
            vec![here(&["sh", "-c", make, "sh", &format!("/root/.ssh/id_{}", key.kind), &key.kind])]
        }
        Action::SshTrust(trust) => At::BOTH
            .into_iter()
            .map(|at| {
                let peer = trust.nodes.get(at.peer().index()).map_or("", String::as_str);
                let key = format!("/root/.ssh/id_{}.pub", trust.kind);
                on(at, &["ssh-copy-id", "-i", &key, &format!("root@{peer}")])
            })
            .collect(),
        Action::SshLogin(login) => {
            vec![here(&["ssh", "-n", "-o", "BatchMode=yes", &format!("root@{}", login.peer), "uname", "-n"])]
        }
        Action::Partition(partition) => At::BOTH
            .into_iter()
            .map(|at| {
                let device = partition.devices.get(at.index()).map_or("", String::as_str);
                on(at, &["blockdev", "--getsize64", device])
            })
            .collect(),
        Action::DrbdMetadata(metadata) => {
            let words: &[&str] = if metadata.dialect == "8.0" {
                &["drbdadm", "--", "--force", "create-md", &metadata.resource]
            } else {
                &["drbdadm", "create-md", "--force", &metadata.resource]
            };
            At::BOTH.map(|at| on(at, words)).to_vec()
        }
        Action::DrbdConnection(connection) => {
            At::BOTH.map(|at| on(at, &["drbdadm", "adjust", &connection.resource])).to_vec()
        }
        Action::DrbdSync(sync) if sync.mode == "skip" => {
            first(&["drbdadm", "new-current-uuid", "--clear-bitmap", &format!("{}/0", sync.resource)])
        }
        Action::DrbdSync(sync) if sync.dialect == "8.0" => {
            first(&["drbdadm", "--", "--overwrite-data-of-peer", "primary", &sync.resource])
        }
        Action::DrbdSync(sync) => first(&["drbdadm", "primary", "--force", &sync.resource]),
        Action::DrbdRole(role) => vec![here(&["drbdadm", "primary", &role.resource])],
        Action::Filesystem(made) => {
            let mut words = vec!["mkfs.ocfs2", "-b", "4K", "-C", "4K", "-N", &made.slots, "-L", &made.label];
            let stack = [format!("--cluster-stack={}", made.stack), format!("--cluster-name={}", made.cluster)];
            if !made.stack.is_empty() {
                words.extend(stack.iter().map(String::as_str));
            }
            words.push(&made.device);
            first(&words)
        }
        Action::Mount(mount) => vec![
            here(&["mkdir", "-p", &mount.path]),
            here(&["mount", "-t", &mount.fstype, "-o", &mount.options, &mount.device, &mount.path]),
        ],
        Action::CrossRead(cross) => {
            let file = format!("{}/.hapair-{}", cross.path, cross.nodes.first().map_or("", String::as_str));
            vec![on(At::First, &["touch", &file]), on(At::Second, &["ls", &file])]
        }
        Action::Cib(cib) => {
            let words = ["cibadmin", "-M", "-c", "-o", &cib.section, "--xml-pipe"];
            let objects = cib.content.clone().unwrap_or_default();
            vec![Order::new(At::First, Cmd::write(words).stdin(objects).secret(cib.secret == "true"))]
        }
        Action::DiskImage(image) => {
            let folder = image.path.rsplit_once('/').map_or("/", |(folder, _)| folder);
            let mut orders = first(&["mkdir", "-p", folder]);
            if image.source.is_empty() {
                let of = format!("of={}", image.path);
                orders.push(on(
                    At::First,
                    &["dd", "if=/dev/null", &of, "bs=1M", "count=0", &format!("seek={}", image.mib)],
                ));
            } else {
                orders.push(on(At::First, &["cp", "--sparse=always", &image.source, &image.path]));
            }
            orders
        }
        Action::VmConfig(config) => {
            let folder = config.path.rsplit_once('/').map_or("/", |(folder, _)| folder);
            vec![on(At::First, &["mkdir", "-p", folder]), on(At::First, &["cp", &config.source, &config.path])]
        }
        Action::Command(command) if only_waits(&command.run) => Vec::new(),
        Action::Command(command) => vec![here(&command.run.iter().map(String::as_str).collect::<Vec<_>>())],
        Action::FencingShot(shot) => {
            let by = shot.reboots().map_or(at, At::peer);
            vec![on(by, &["stonith_admin", "--reboot", &shot.victim])]
        }
        // Files are written as they are; the others look, wait, or note what hapair did.
        Action::SharedFile(_)
        | Action::File(_)
        | Action::Wait(_)
        | Action::FencingDevice(_)
        | Action::FencingLogin(_)
        | Action::FencingCut(_)
        | Action::FencingProof(_)
        | Action::Ring(_)
        | Action::Verify(_)
        | Action::NodeRecord(_) => Vec::new(),
    }
}

/// Commands that only show something: such an action waits for what its `unless` says.
fn only_waits(run: &[String]) -> bool {
    run.first().is_some_and(|program| ["cl_status", "crm_mon"].contains(&program.as_str()))
}

fn services(service: &crate::action::service::Service, at: At) -> Vec<Order> {
    let here = |words: &[&str]| Order::new(at, Cmd::write(words.iter().copied()));
    let name = service.name.as_str();
    let mut orders = Vec::new();
    if service.init == "sysv" {
        let mut links = vec!["update-rc.d", name];
        links.extend(service.links.split_whitespace());
        match service.enabled.as_str() {
            "true" if links.len() > 2 => orders.extend([here(&["update-rc.d", "-f", name, "remove"]), here(&links)]),
            "true" => orders.push(here(&["update-rc.d", name, "defaults"])),
            "false" => orders.push(here(&["update-rc.d", "-f", name, "remove"])),
            _ => {}
        }
        let script = format!("/etc/init.d/{name}");
        match service.active.as_str() {
            "true" => orders.push(here(&[&script, "start"])),
            "false" => orders.push(here(&[&script, "stop"])),
            _ => {}
        }
        return orders;
    }
    for (wanted, verb, other) in [
        (&service.masked, "mask", "unmask"),
        (&service.enabled, "enable", "disable"),
        (&service.active, "start", "stop"),
    ] {
        match wanted.as_str() {
            "true" => orders.push(here(&["systemctl", verb, name])),
            "false" => orders.push(here(&["systemctl", other, name])),
            _ => {}
        }
    }
    orders
}
