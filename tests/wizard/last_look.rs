//! The last look before the first change, on toy machines: its menu behaves as every question does.

use std::path::Path;

use crate::questions::{NOTHING, ZZ};
use crate::screen::{CTRL_C, DOWN, ENTER, ESC, Screen};
use crate::toys;

const FREE: &str = "Shall it be done?";
const IN_THE_WAY: &str = "It can't be done as it stands.";
/// The question before it, in answers that lack only this.
const BEFORE: &str = "Shall hapair make a virtual machine now?";
const HALF: &str = "cluster: web\nnodes:\n  - { name: left, ssh: root@left, address: 10.2.0.1, device: /dev/sda3 }\n  \
                    - { name: right, ssh: root@right, address: 10.2.0.2, device: /dev/sda3 }\n\
                    fencing: { method: ssh, accept_unsafe: ssh }\n";

/// The wizard at its last menu, on a screen that the whole look fits.
fn there(folder: &Path, menu: &str) -> Screen {
    std::fs::write(folder.join("half.yaml"), HALF).unwrap();
    let mut command = toys(folder);
    command.env("TOYS_INSTALL", "1");
    if menu == IN_THE_WAY {
        command.env("TOYS_IN_THE_WAY", "1");
    }
    let mut screen = Screen::start(command, 24, 80);
    no_vm(&mut screen, menu);
    screen
}

/// Answers the question before the menu.
fn no_vm(screen: &mut Screen, menu: &str) {
    screen.wait(BEFORE, 20);
    screen.press("no\r");
    screen.wait(menu, 30);
}

fn written(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("half.yaml")).unwrap()
}

#[test]
fn the_last_menu_explains_itself_refuses_nonsense_and_goes_back() {
    for menu in [FREE, IN_THE_WAY] {
        let folder = tempfile::tempdir().unwrap();
        let mut screen = there(folder.path(), menu);
        screen.press(ZZ);
        screen.wait(NOTHING, 10);
        screen.press("\x15");
        screen.gone(NOTHING);
        screen.press("?");
        screen.wait("differences.", 10);
        // By Esc and by its own line.
        for back in [ESC, "back\r"] {
            screen.press(back);
            screen.wait(BEFORE, 10);
            screen.gone("Save the answers and quit\n");
            no_vm(&mut screen, menu);
        }
        assert_eq!(written(folder.path()), HALF, "written before it was said");
        screen.press("save\r");
        assert_eq!(screen.code(10), 0, "{}", screen.text());
        screen.assert_as_before(menu);
        assert!(screen.text().contains("hapair install --answers half.yaml"), "{}", screen.text());
        assert!(written(folder.path()).contains("vms: []"), "{}", written(folder.path()));
    }
}

#[test]
fn ctrl_c_at_the_last_menu_leaves_everything_as_it_was() {
    for menu in [FREE, IN_THE_WAY] {
        let folder = tempfile::tempdir().unwrap();
        let mut screen = there(folder.path(), menu);
        screen.press(CTRL_C);
        assert_eq!(screen.code(10), 130, "{}", screen.text());
        screen.assert_as_before(menu);
        assert_eq!(written(folder.path()), HALF);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn what_is_in_the_way_is_told_and_looked_at_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut screen = there(folder.path(), IN_THE_WAY);
    let looks = |screen: &Screen| screen.all().matches("In the way").count();
    let before = looks(&screen);
    screen.press(ENTER);
    let began = std::time::Instant::now();
    while looks(&screen) == before {
        assert!(began.elapsed().as_secs() < 30, "not looked at again:\n{}", screen.text());
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
    screen.wait(IN_THE_WAY, 10);
    assert!(!screen.all().contains("Shall it be done"), "an install was offered");
    screen.press(CTRL_C);
    assert_eq!(screen.code(10), 130);
}

#[test]
fn the_last_menu_is_seen_once_in_a_window_of_any_size() {
    let folder = tempfile::tempdir().unwrap();
    let mut screen = there(folder.path(), FREE);
    for (rows, columns) in [(40, 120), (12, 40), (50, 132), (24, 80)] {
        screen.resize(rows, columns);
        std::thread::sleep(std::time::Duration::from_millis(600));
        let text = screen.text();
        assert_eq!(text.matches(FREE).count(), 1, "{rows}x{columns}:\n{text}");
        assert!(text.contains("Install") && text.contains("Back"), "{rows}x{columns}:\n{text}");
    }
    screen.press(DOWN);
    screen.press(ENTER);
    assert_eq!(screen.code(10), 0, "{}", screen.text());
    assert!(written(folder.path()).contains("vms: []"), "the second line is to save");
}
