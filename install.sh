#!/bin/sh
# Installs the appliance on a Raspberry Pi or a Debian machine, upgrades it, and removes it. See --help.
#
# Each version has its own folder in /opt/kindle-appliance/versions. It holds a Python environment, and in source/ the
# files from which it was built, including this script and the units. The link `current` points to the version in use,
# so an upgrade changes one link, and a rollback changes it back. A folder without the file `complete` is left over
# from an interrupted run. If a step fails, everything that this run has changed is undone. What a changed file asks of
# systemd (to reload, restart or reopen) is noted in /run before the change, so that the run after an interrupted one
# knows it, too. All code is in functions, and main runs last: a copy of this file that was cut off during a download
# does nothing.

set -eu

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin  # not root's own: the service must find Python in it, too
PROGRAM=/opt/kindle-appliance
VERSIONS=${PROGRAM}/versions
CURRENT=${PROGRAM}/current
CONFIG=/etc/kindle-appliance
SETTINGS=${CONFIG}/settings.toml
KEYS=${CONFIG}/keys
STATE=/var/lib/private/kindle-appliance
STATE_LINK=/var/lib/kindle-appliance
UNITS=/etc/systemd/system
SERVICE=kindle-appliance.service
SOCKET=kindle-appliance.socket
PORT_FILE=${UNITS}/${SOCKET}.d/port.conf
COMMAND=/usr/local/bin/kindle-appliance
LOCK=/run/kindle-appliance-install.lock
OWED=/run/kindle-appliance-install.owed

SOURCES='install.sh requirements.txt pyproject.toml setup.cfg LICENSE README.md kindle_appliance static systemd'
NEEDED_MB=150  # a version takes 40, twice as much during the build, and the old version stays beside it
NEEDED_SYSTEMD=252
MOST_KEY_BYTES=4096
DEFAULT_PORT=80
HEALTH_SECONDS=30
KEY_ADDRESS=https://aistudio.google.com/apikey
TERMS_ADDRESS=https://ai.google.dev/gemini-api/terms

usage() {
    cat << END
Usage: sudo ./install.sh [OPTION]...

Installs the Kindle appliance on this machine and starts it. Run again, it upgrades the appliance to the version it
comes with, and mends what is broken; what is up to date stays as it is, and so do settings and chats.

  --port PORT      listen on this port (default: 80, or from 8080 on what is free)
  --name NAME      be found as http://NAME.local/ (default: kindle); it goes into new settings
  --key-file FILE  take the Gemini API key from this file. A key comes from
                   ${KEY_ADDRESS}
  --model-server ADDRESS
                   let the model server there answer, such as 192.168.1.20 or pc.local:11434
  --model NAME     this model of that server; needed if it has several
  --model-key-file FILE
                   take that server's key from this file, if it wants one
  --no-start       install only; the appliance starts with the machine
  --uninstall      remove the appliance, but not its settings, key, chats and books
  --purge          remove those, too
  --help           this text

Without a key or a model server you are asked who is to answer, on a terminal; elsewhere the appliance is a demo.

From the environment, which sudo passes on only if told to:

  sudo --preserve-env=GEMINI_API_KEY ./install.sh
                   takes the key from there
  sudo --preserve-env=PIP_NO_INDEX,PIP_FIND_LINKS ./install.sh
                   pip takes the packages of requirements.txt, and setuptools, from a folder, without the internet;
                   its other variables (PIP_INDEX_URL, PIP_PROXY and so on) go the same way
END
}

main() {
    umask 022
    # Only the documented variables of the caller's environment may influence the installation.
    unset PYTHONPATH PYTHONHOME CDPATH
    export PATH PYTHONDONTWRITEBYTECODE=1
    action=install port='' name='' key='' key_file='' must_start=yes undo='' number=0
    model_server='' model='' model_key_file=''
    read_options "$@"
    check_root
    exec 9> "${LOCK}"
    flock --nonblock 9 || fail "Another install.sh is at work on this machine. Wait for it, then run this again."
    # Of a run that was killed: the owner may have changed the settings since.
    rm -rf "${LOCK}.before" "${LOCK}.before.new"
    trap at_exit EXIT
    trap 'exit 130' INT
    trap 'exit 141' PIPE
    trap 'exit 143' TERM HUP
    "${action}"
}

read_options() {
    while [ "$#" -gt 0 ]; do
        case $1 in
            --port | --name | --key-file | --model-server | --model | --model-key-file)
                [ -n "${2:-}" ] || fail "$1 needs a value. See ./install.sh --help."
                case $1 in
                    --port) port=$2 ;;
                    --name) name=$2 ;;
                    --model-server) model_server=$2 ;;
                    --model) model=$2 ;;
                    --model-key-file) model_key_file=$2 ;;
                    *) key_file=$2 ;;
                esac
                shift
                ;;
            --no-start) must_start=no ;;
            --uninstall) action=uninstall ;;
            --purge) action=purge ;;
            --help | -h)
                usage
                exit 0
                ;;
            --*) fail "${1%%=*} is not an option. See ./install.sh --help." ;;
            *) fail "There is a word too many; it is not shown, for it may be the key. See ./install.sh --help." ;;
        esac
        shift
    done
}

# ---- The actions

install() {
    step "Looking at this machine"
    find_source
    check_options
    check_system
    find_python
    check_space
    find_what_is_there
    say "${system}, Python ${tag#py}"
    choose_port

    step "Installing version ${version}"
    build

    step "Settings and key"
    write_settings
    store_key
    store_model
    settle_who_answers

    step "Starting"
    find_previous
    undo=all
    put_in_place "${folder}" "${port}"
    if [ "${must_start}" = yes ]; then
        start
        undo=''
        rm -f "${OWED}"
        forget_old_versions
        say_done
    else
        undo=''
        say "Nothing is started or stopped, as you wished. The new version starts with the machine, or now with:"
        say "    sudo systemctl restart ${SOCKET} ${SERVICE}"
    fi
}

uninstall() {
    if [ -e "${PROGRAM}" ] || [ -e "${UNITS}/${SERVICE}" ] || [ -e "${UNITS}/${SOCKET}" ]; then
        remove_program
        say "The appliance is removed."
    else
        say "The appliance is not installed on this machine: there is nothing to remove."
    fi
    left=''
    for each in "${CONFIG}" "${STATE}" "${STATE_LINK}" "${UNITS}/${SERVICE}.d" "${UNITS}/${SOCKET}.d"; do
        [ ! -e "${each}" ] || left="${left} ${each}"
    done
    if [ -n "${left}" ]; then
        say "Its settings, key, chats and books are kept. This command removes them:"
        say "    sudo rm -rf${left}"
    fi
}

purge() {
    remove_program
    # What the service may have left in its folder, such as links and mounts, is not followed.
    rm -rf --one-file-system "${CONFIG}" "${STATE}" "${UNITS:?}/${SERVICE}.d" "${UNITS:?}/${SOCKET}.d"
    if [ -L "${STATE_LINK}" ]; then
        rm -f "${STATE_LINK}"
    else
        rm -rf --one-file-system "${STATE_LINK}"  # a folder, before the first start
    fi
    systemctl daemon-reload
    say "The appliance, its settings, its key, its chats and its books are removed."
}

# ---- Checks

check_root() {
    user=$(id -u)
    [ "${user}" -eq 0 ] || fail "Only root can install on this machine. Run it with sudo: sudo ./install.sh"
}

find_source() {
    script=$(readlink -f -- "$0")
    source=${script%/*}
    for each in ${SOURCES}; do
        [ -e "${source}/${each}" ] || fail \
            "${each} is not beside ${script}. Unpack the whole archive, and run install.sh from there."
    done
    release=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "${source}/kindle_appliance/__init__.py")
}

check_options() {
    if [ -n "${port}" ]; then
        case ${port} in
            *[!0-9]* | 0* | ??????*) is_port=no ;;
            *) [ "${port}" -le 65535 ] && is_port=yes || is_port=no ;;
        esac
        [ "${is_port}" = yes ] || fail "--port ${port} is not a port. Give a whole number from 1 to 65535."
    fi
    case ${name} in
        *[!a-z0-9-]* | -* | *-)
            fail "--name ${name} cannot be a name on the network. Use small letters, digits and hyphens only."
            ;;
        *) [ "${#name}" -le 30 ] || fail "--name ${name} is too long. Use at most 30 letters." ;;
    esac
    if [ -n "${name}" ] && [ -f "${SETTINGS}" ]; then
        grep -q "^name *= *\"${name}\"" "${SETTINGS}" || fail \
            "The settings in ${SETTINGS} are yours and stay as they are. Write name = \"${name}\" there, then run: sudo systemctl restart kindle-appliance"
    fi
    [ -n "${model_server}" ] || [ -z "${model}${model_key_file}" ] || fail \
        "--model and --model-key-file say more about a --model-server. Give that, too."
    [ -z "${model_key_file}" ] || [ -f "${model_key_file}" ] || fail \
        "The key file ${model_key_file} is not a plain file. Give the path of a file with the key."
    if [ -n "${key_file}" ]; then
        read_key_file
    else
        key=${GEMINI_API_KEY:-}
    fi
    unset GEMINI_API_KEY  # no other program needs it
}

# Reads the key's file: sets `key`. A pipe could hold this script up for ever, and a device fill the memory.
read_key_file() {
    [ -e "${key_file}" ] || fail "The key file ${key_file} cannot be read: it is not there."
    [ -f "${key_file}" ] || fail "The key file ${key_file} is not a plain file. Give the path of a file with the key."
    size=$(head -c "$((MOST_KEY_BYTES + 1))" -- "${key_file}" | wc -c)
    [ "${size}" -le "${MOST_KEY_BYTES}" ] || fail \
        "The key file ${key_file} has more than ${MOST_KEY_BYTES} bytes, and a key has about 40. Give a file with nothing but the key."
    key=$(head -c "${MOST_KEY_BYTES}" -- "${key_file}" | tr -d '\000')
    [ -n "${key}" ] || fail "The key file ${key_file} is empty. Put the key into it; a key comes from ${KEY_ADDRESS}"
}

check_system() {
    family='' system='this system'
    if [ -r /etc/os-release ]; then
        # shellcheck source=/dev/null
        family=$(. /etc/os-release && printf '%s' " ${ID:-} ${ID_LIKE:-} ")
        # shellcheck source=/dev/null
        system=$(. /etc/os-release && printf '%s' "${PRETTY_NAME:-${ID:-this system}}")
    fi
    case ${family} in
        *' debian '*) ;;
        *) fail "This is ${system}; install.sh knows Debian and Raspberry Pi OS. On other systems, make run starts the appliance." ;;
    esac
    [ -d /run/systemd/system ] || fail \
        "systemd does not run this machine, and the appliance needs it. Use Debian or Raspberry Pi OS as they are; elsewhere, make run starts the appliance."
    systemd=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
    [ "${systemd:-0}" -ge "${NEEDED_SYSTEMD}" ] || fail \
        "${system} is too old: it has systemd ${systemd:-(unknown)}. Install Debian or Raspberry Pi OS 12 (bookworm) or newer."
}

find_python() {
    python=''
    for each in python3 python3.13 python3.12 python3.11; do
        if "${each}" -IBc 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            python=$(command -v "${each}")
            break
        fi
    done
    [ -n "${python}" ] || fail \
        "Python 3.11 or newer is missing. Install it with: sudo apt install python3 python3-venv"
    "${python}" -IBc 'import ensurepip, sqlite3, ssl, venv' 2> /dev/null || fail \
        "Python's venv module is missing. Install it with: sudo apt install python3-venv"
    tag=$("${python}" -IBc 'import sys; print("py%d.%d" % sys.version_info[:2])')
}

check_space() {
    for place in /opt /etc /var/lib; do
        needed=1
        [ "${place}" != /opt ] || needed=${NEEDED_MB}
        measure "${place}"
        [ "${free_mb:-${needed}}" -ge "${needed}" ] || fail \
            "Only ${free_mb} MB are free for ${place}; the appliance needs ${needed} MB. Make room (sudo apt clean helps), and run this again."
    done
}

# Measures the free space for a folder: sets `free_mb`, and `free_files` (empty if the file system has no limit).
measure() {
    free_mb=$(df -Pm "$1" 2> /dev/null | awk 'NR == 2 { print $4 }')
    free_files=$(df -Pi "$1" 2> /dev/null | awk 'NR == 2 && $2 > 0 { print $4 }')
}

# Finds out which version this run will build, and what earlier runs have installed.
find_what_is_there() {
    digest=$(pack | sha256sum | cut -c 1-8)
    version=${release}-${digest}-${tag}
    folder=${VERSIONS}/${version}
    previous='' built='' made='' kept='' known=''
    if [ -e "${CURRENT}/complete" ]; then
        previous=$(readlink -f -- "${CURRENT}")
        case ${previous} in
            "${folder}"*) folder=${previous} ;;
            *) ;;
        esac
    fi
    had_state=no
    [ ! -e "${STATE}" ] || had_state=yes
    had_keys=no
    [ ! -d "${KEYS}" ] || had_keys=yes
    had_config=no
    [ ! -d "${CONFIG}" ] || had_config=yes
    found=$(readlink -- "${COMMAND}") || found=''
    case ${found} in
        "${PROGRAM}"/*) ;;
        *) [ ! -e "${COMMAND}" ] || fail "${COMMAND} is there already, and not ours. Move it away, and run this again." ;;
    esac
}

# Writes the files of a version as a reproducible archive: it depends only on their content.
pack() {
    # shellcheck disable=SC2086 # word splitting is intended
    tar --create --directory="${source}" --sort=name --mtime='2020-01-01 UTC' --owner=0 --group=0 --numeric-owner \
        --mode=u=rwX,go=rX --exclude=__pycache__ --exclude='*.po' ${SOURCES}
}

choose_port() {
    own_port=''
    if [ -f "${UNITS}/${SOCKET}" ]; then
        own_port=$(systemctl show --property=Listen "${SOCKET}" | sed -n 's/.*:\([0-9]*\) (Stream)$/\1/p' | head -n 1)
    fi
    wanted=${port:-${own_port:-${DEFAULT_PORT}}}
    look_at "${wanted}"
    if [ "${wanted}" = "${own_port}" ] && systemctl --quiet is-active "${SOCKET}"; then
        [ -n "${user}" ] || owe reopen  # it still listens on the port that it had before
        port=${wanted}
        return
    fi
    if [ -z "${user}" ]; then
        port=${wanted}
        return
    fi
    [ -z "${port}" ] || fail "Port ${wanted} is used by ${user}. Stop that, or choose another port with --port."
    taken_by=${user}
    port=8080
    look_at "${port}"
    while [ -n "${user}" ]; do
        port=$((port + 1))
        [ "${port}" -le 8099 ] || fail \
            "Port ${wanted} is used by ${taken_by}, and none from 8080 to 8099 is free. Choose one with --port."
        look_at "${port}"
    done
    say "Port ${wanted} is used by ${taken_by}: the appliance takes ${port} instead."
}

# Finds the program that listens on a port: sets `user`, which is empty if the port is free.
look_at() {
    user=''
    if ! "${python}" -IBc '
import socket, sys
with socket.socket() as door:
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore connections in TIME_WAIT
    try:
        door.bind(("0.0.0.0", int(sys.argv[1])))
    except OSError:
        sys.exit(1)
' "$1"; then
        user=$(ss -Hltnp "sport = :$1" 2> /dev/null \
            | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (process \2)/p' | head -n 1)
        user=${user:-another program}
    fi
}

# ---- Building the version

build() {
    for each in "${VERSIONS}"/*; do
        [ -e "${each}/complete" ] || rm -rf "${each}"  # an earlier run was interrupted
    done
    if [ -e "${folder}/complete" ]; then
        if "${folder}/bin/kindle-appliance" --version > /dev/null 2>&1; then
            say "It is here already."
            return
        fi
        folder=${folder}+  # it is damaged, but may be running: build a new one beside it
    fi
    undo=yes built=${folder}
    log=${folder}/pip.log
    mkdir -p "${folder}/source" "${folder}/tmp/source"
    pack | tar --extract --directory="${folder}/source"
    cp -R "${folder}/source/." "${folder}/tmp/source"  # pip writes files into the folder where it builds
    set -- --requirement "${folder}/source/requirements.txt" "${folder}/tmp/source"
    # zeroconf has no wheel for some machines, such as a Raspberry Pi 1 or Zero. Neither the kernel nor Debian's name for
    # the processor tells which, so pip decides. Where it has to build zeroconf, this makes it pure Python, in 5 seconds;
    # compiling it there takes 20 minutes.
    export SKIP_CYTHON=1
    "${python}" -m venv "${folder}" > "${log}" 2>&1 || explain_failure
    TMPDIR=${folder}/tmp "${folder}/bin/python" -IBm pip install --disable-pip-version-check --no-input --no-cache-dir \
        --retries 2 --progress-bar off "$@" >> "${log}" 2>&1 || explain_failure
    "${folder}/bin/kindle-appliance" --version >> "${log}" 2>&1 || explain_failure
    rm -rf "${folder}/tmp" "${log}"
    sync  # after a power cut, `complete` must not stand beside files that were not written
    : > "${folder}/complete"
}

explain_failure() {
    measure "${folder}"
    if [ "${free_mb:-100}" -lt 5 ] || [ "${free_files:-100}" -lt 5 ] || grep -qi 'no space left' "${log}"; then
        fail "The disk is full. Make room (sudo apt clean helps), and run this again."
    fi
    why=$(sed -n 's/^ *ERROR: //p' "${log}" | tail -n 1)
    if grep -qiE 'no matching distribution|name resolution|connection (broken|refused|reset)|timed out|unreachable' "${log}"; then
        if [ -n "${PIP_NO_INDEX:-}" ]; then
            fail "A package is not in ${PIP_FIND_LINKS:-the folder that PIP_FIND_LINKS is to name}${why:+ (${why})}. Put it there, and run this again."
        fi
        fail "The packages could not be fetched${why:+ (${why})}. Look whether this machine is on the internet and its clock is right (timedatectl), and run this again."
    fi
    tail -n 10 "${log}" >&2
    fail "The packages could not be installed; the last words are above. Mend that, and run this again."
}

# ---- Settings and key

write_settings() {
    undo=yes
    mkdir -p "${CONFIG}"
    if [ -e "${SETTINGS}" ]; then
        say "${SETTINGS} is yours and stays as it is."
    else
        made="${made} settings.toml settings.toml.new"
        # Readers may also use the name that the router's DNS has for this machine, which can differ from its own.
        names=$(list_addresses | while read -r address _; do names_from_router "${address}"; done)
        # shellcheck disable=SC2086 # word splitting is intended
        "${folder}/bin/python" -IBc '
import sys
from kindle_appliance.host import network
from kindle_appliance.owner.settings_template import template
name, *others = sys.argv[1:]
chosen = {"name": name, "hosts": [each for each in others if each.lower() not in network.names()]}
print(template({option: value for option, value in chosen.items() if value}), end="")
' "${name}" ${names} > "${SETTINGS}.new"
        mv "${SETTINGS}.new" "${SETTINGS}"
        say "${SETTINGS} is written, with every setting explained."
    fi
    # systemd does not start a service if the file of a credential is missing.
    for each in gemini-key pin; do
        if [ ! -e "${CONFIG}/${each}" ]; then
            made="${made} ${each}"
            (umask 077 && : > "${CONFIG}/${each}")
        fi
    done
    # Before the unit names it: nor does systemd start a service whose folder of credentials is missing.
    [ -d "${KEYS}" ] || mkdir -m 0700 "${KEYS}"
    tell_time_zone
}

tell_time_zone() {
    zone=$(readlink -m /etc/localtime) || zone=''
    case ${zone} in
        */zoneinfo/*) zone=${zone#*/zoneinfo/} ;;
        *) zone=$(cat /etc/timezone 2> /dev/null) || zone=UTC ;;
    esac
    say "Days and dates are told in the time zone ${zone}. For another one:"
    say "    sudo timedatectl set-timezone ZONE; sudo systemctl restart kindle-appliance"
}

# Copies settings and keys, for `go_back`, before this run changes any of them.
keep_settings() {
    [ ! -d "${LOCK}.before" ] || return 0
    mkdir -m 0700 "${LOCK}.before.new"
    cp -a "${SETTINGS}" "${CONFIG}/gemini-key" "${KEYS}" "${LOCK}.before.new"
    mv -T "${LOCK}.before.new" "${LOCK}.before"  # never a part: `go_back` removes the keys that are not in it
}

store_key() {
    if [ -n "${key}" ]; then
        keep_settings
        printf '%s\n' "${key}" | "${folder}/bin/kindle-appliance" key --untried --no-restart || fail \
            "The key was not taken, as said above. Run this again with another one; a key comes from ${KEY_ADDRESS}"
    elif grep -q . "${CONFIG}/gemini-key"; then
        say "The key is yours and stays as it is."
    fi
}

# Puts the model server that was named on the command line into the list of models, with its key. The key for Gemini
# must be stored by then: without it, the server would become the whole list.
store_model() {
    [ -n "${model_server}" ] || return 0
    keep_settings
    set -- models add --no-restart
    [ -z "${model}" ] || set -- "$@" --model "${model}"
    [ -z "${model_key_file}" ] || set -- "$@" --model-key-file "${model_key_file}"
    "${folder}/bin/kindle-appliance" "$@" -- "${model_server}" < /dev/null || fail \
        "The model server was not taken, as said above. Mend that, and run this again; its key comes from --model-key-file FILE. For other options, run this without --model-server, then: sudo kindle-appliance models add ADDRESS"
}

# Where nobody can answer yet, asks who is to at a first installation, and says how to change it later.
settle_who_answers() {
    find_whether_demo
    if [ "${demo}" = yes ] && [ -z "${previous}" ] && [ -t 0 ]; then
        ask_who_answers
    fi
    if [ "${demo}" = yes ]; then
        say "Without a key or a model server the appliance is a demo. To change that later:"
        say "    sudo kindle-appliance key                     for Gemini; terms: ${TERMS_ADDRESS}"
        say "    sudo kindle-appliance models add ADDRESS      for a model server in this network"
        [ -t 0 ] || tell_of_key
    fi
}

# Finds out whether a demo answers for want of anybody else: sets `demo`.
find_whether_demo() {
    demo=yes
    "${folder}/bin/python" -IBc '
import sys
from kindle_appliance.owner.models import needs_demo
from kindle_appliance.settings import load
settings = load({}, {"CREDENTIALS_DIRECTORY": sys.argv[1]})
sys.exit(settings.demo or not needs_demo(settings))
' "${CONFIG}" 2> /dev/null || demo=no
}

# Asks until somebody can answer, or nobody is to: sets `demo`.
ask_who_answers() {
    say "Who is to answer?"
    say "  1  Gemini, at Google: you need an API key"
    say "  2  a model server in this network, such as Ollama, llama.cpp or LM Studio: you need its address"
    say "  3  nobody yet: a demo with built-in examples"
    while [ "${demo}" = yes ]; do
        printf '  1, 2 or 3? '
        read -r answer || answer=3
        case ${answer} in
            1) ask_for_key ;;
            2) ask_for_server ;;
            3) return ;;
            *) ;;
        esac
        find_whether_demo
    done
}

ask_for_server() {
    while :; do
        printf '  Its address, such as 192.168.1.20 or pc.local (nothing: none): '
        read -r answer || answer=''
        [ -n "${answer}" ] || return 0
        keep_settings
        if "${folder}/bin/kindle-appliance" models add --no-restart -- "${answer}"; then
            return
        fi
    done
}

ask_for_key() {
    tell_of_key
    question='Store a key now?'
    while :; do
        printf '  %s [Y/n] ' "${question}"
        read -r answer || answer=n
        case ${answer} in
            [Nn]*) return ;;
            *) keep_settings ;;
        esac
        if "${folder}/bin/kindle-appliance" key --untried --no-restart; then
            return
        fi
        question='Try another key?'
    done
}

# Tells the owner what to know before storing a key. README.md has the details.
tell_of_key() {
    say "Gemini needs an API key; one comes from ${KEY_ADDRESS}"
    say "Before you store one:"
    say "- Everybody at home sees every chat, and can delete it under \"All chats\". A PIN keeps guests out."
    say "- Google gets every question. On a free key it may use what is asked and answered, and people there may"
    say "  read it."
    say "- Its terms are for people of 18 years and more, for certain regions (some with a paid key only), and for"
    say "  professional purposes. Read them: ${TERMS_ADDRESS}"
}

# ---- Activating a version, and rolling back

# Notes what a change asks of systemd, before the change: reload, restart or reopen. `start` pays, and clears the notes.
# Until then they outlive this run, but not a restart of the machine, which pays for all.
owe() {
    grep -qsxF -e "$1" "${OWED}" || echo "$1" >> "${OWED}"
}

# Finds out to which version a failure has to go back, and what the doctor finds wrong with it. That is the one that
# serves now, or that was current before a run that was interrupted, or else the one that is current.
find_previous() {
    running=''
    [ -z "${own_port}" ] || running=$(about_running "${own_port}" build)
    noted=$(sed -n 's/^previous //p' "${OWED}" 2> /dev/null) || noted=''
    if [ -n "${running}" ] && [ -e "${VERSIONS}/${running}/complete" ]; then
        previous=${VERSIONS}/${running}
    elif [ -n "${noted}" ] && [ -e "${noted}/complete" ]; then
        previous=${noted}
    fi
    if [ -n "${previous}" ] && [ "${previous}" != "${folder}" ]; then
        [ -n "${noted}" ] || owe "previous ${previous}"
        [ -z "${own_port}" ] || known=$(about_running "${own_port}" failures)
        known=$(echo "${known}" | awk '{ print $2 }')
    fi
}

# Makes a version ($1) and its port ($2) the active ones for systemd and the shell. Unchanged files are not rewritten.
put_in_place() {
    put "${UNITS}/${SERVICE}" reload restart < "$1/source/systemd/${SERVICE}"
    put "${UNITS}/${SOCKET}" reload reopen < "$1/source/systemd/${SOCKET}"
    if [ "$2" != "${DEFAULT_PORT}" ]; then
        # The empty assignment removes the port of the unit itself, which would also be opened otherwise.
        put "${PORT_FILE}" reload reopen << END
# Written by install.sh. Another port: sudo ${PROGRAM}/install.sh --port PORT
[Socket]
ListenStream=
ListenStream=0.0.0.0:$2
END
    elif [ -e "${PORT_FILE}" ]; then
        owe reload
        owe reopen
        rm -f "${PORT_FILE}"
        rmdir "${PORT_FILE%/*}" 2> /dev/null || :
    fi
    put_link "$1" "${CURRENT}" restart
    put_link "${CURRENT}/source/systemd/launcher" "${COMMAND}"
    put_link "${CURRENT}/source/install.sh" "${PROGRAM}/install.sh"
    ! grep -qsx reload "${OWED}" || systemctl daemon-reload
    for each in "${SOCKET}" "${SERVICE}"; do
        systemctl --quiet is-enabled "${each}" 2> /dev/null || systemctl --quiet enable "${each}"
    done
}

# Writes standard input to a file ($1) atomically. If that changes it, the other words are owed.
put() {
    place=$1
    shift
    cat > "${LOCK}.put" || return
    if ! cmp -s "${LOCK}.put" "${place}"; then
        for each in "$@"; do
            owe "${each}"
        done
        mkdir -p "${place%/*}"
        cp "${LOCK}.put" "${place}.new" || return  # on a full disk: while going back, a failure does not end this run
        mv "${place}.new" "${place}"
    fi
    rm -f "${LOCK}.put"
}

# Creates or changes a link to $1 at $2 atomically. If that changes it, $3 is owed.
put_link() {
    found=$(readlink -- "$2") || found=''
    if [ "${found}" != "$1" ]; then
        [ -z "${3:-}" ] || owe "$3"
        mkdir -p "${2%/*}"
        ln -sfn "$1" "$2.new"
        mv -T "$2.new" "$2"
    fi
}

start() {
    # An interrupted run has copied them before its version could change them.
    kept=$(sed -n 's/^kept //p' "${OWED}" 2> /dev/null) || kept=''
    if [ ! -e "${kept}" ]; then
        kept=''
        keep_chats
        [ -z "${kept}" ] || owe "kept ${kept}"
    fi
    run_units "${port}" "${folder##*/}"
    if [ -n "${fault}" ]; then
        journalctl --sync 2> /dev/null || :  # its last lines may not be written yet
        journalctl --unit="${SERVICE}" --unit="${SOCKET}" --lines=8 --output=cat --no-pager >&2 || :
        fail "The appliance does not start: ${fault}. Its last words are above. Everything is put back as it was."
    fi
    check_version
    rm -f "${kept}"
    say "Version ${release} serves on port ${port}."
}

# Lets the doctor of the new version look at it. What was wrong before an upgrade is no reason to go back.
check_version() {
    # shellcheck disable=SC2086 # word splitting is intended
    found=$(about_running "${port}" failures ${known})
    [ -n "${found}" ] || return 0
    echo "${found}" >&2
    [ -z "${previous}" ] || [ "${previous}" = "${folder}" ] || fail \
        "The doctor of the new version finds what is above, and the old version did not have it. Everything is put back as it was."
}

# Backs up the chats before an upgrade: after a rollback the old version may be unable to read the migrated chats.
keep_chats() {
    if [ -n "${previous}" ] && [ "${previous}" != "${folder}" ] && [ -e "${STATE}/chats.sqlite" ]; then
        kept=${folder}/chats-before
        "${folder}/bin/kindle-appliance" backup "${kept}" > /dev/null || fail \
            "The chats could not be copied, so nothing is upgraded. See what is wrong with: sudo kindle-appliance doctor"
    fi
}

# Starts the units, or restarts those that have to, so that the appliance serves on a port ($1) as a build ($2, '' for
# any) with what is stored: sets `fault`, which is empty if it does. While the socket stays open, no client is refused.
run_units() {
    fault="systemd does not start it (systemctl status ${SERVICE})"
    ! grep -qsx reopen "${OWED}" || systemctl stop "${SERVICE}" "${SOCKET}" || return 0
    systemctl start "${SOCKET}" || return 0
    if ! grep -qsx restart "${OWED}"; then
        systemctl start "${SERVICE}" || return 0
        fault=$(about_running "$1" fault "$2" 0)
        [ -n "${fault}" ] || return 0
    fi
    fault=$(about_running "$1" restart "$2" "${HEALTH_SECONDS}")
}

# Prints something about the appliance that runs on port $1: its `build`; its `fault`, if it is not the build $3 within
# $4 seconds or serves no pages; the same after a `restart`; its `failures`, those apart whose subjects follow. This
# run's version asks, also after going back to an older one.
about_running() {
    "${folder}/bin/python" -IBc '
import sys
from kindle_appliance.owner import changeover
from kindle_appliance.owner.installation import Installation
port, wish, *more = sys.argv[1:]
here = Installation(), int(port)
if wish == "build":
    print(changeover.running_build(*here))
elif wish == "fault":
    print(changeover.wait_until_serving(*here, more[0], float(more[1])) or "")
elif wish == "restart":
    print(changeover.restart_until_serving(*here, more[0], float(more[1])) or "")
else:
    print(*changeover.failures(*here, more), sep="\n")
' "$@" 2> /dev/null || echo "it cannot be asked"
}

# Requests the health of the appliance on port $1 under the host name $2, or one value of it by the keys that follow.
# Sets `said`, which is empty without an answer.
ask_health() {
    said=$("${folder}/bin/python" -IBc '
import sys
from pathlib import Path
from kindle_appliance.owner.service import Service
pin, port, host, *names = sys.argv[1:]
facts = Service(f"http://127.0.0.1:{port}/", Path(pin).read_text().strip()).health(host)
if facts:
    for name in names:
        facts = facts[name]
    print(facts)
' "${CONFIG}/pin" "$@" 2> /dev/null) || said=''
}

forget_old_versions() {
    [ "${folder}" != "${previous}" ] || return 0
    for each in "${VERSIONS}"/*; do
        case ${each} in
            "${folder}" | "${previous}") ;;
            *) rm -rf "${each}" ;;
        esac
    done
}

at_exit() {
    status=$?
    trap '' INT TERM HUP PIPE  # of this script and the programs that it calls: half put back is worse than late
    trap - EXIT
    rm -f "${LOCK}.put"
    if [ "${status}" -ne 0 ] && [ -n "${undo}" ]; then
        set +e
        say "Putting everything back as it was ..."
        go_back
    fi
    rm -rf "${LOCK}.before" "${LOCK}.before.new"
    exit "${status}"
}

# Undoes everything that this run has done so far.
go_back() {
    if [ -d "${LOCK}.before" ]; then
        put_back "${LOCK}.before/settings.toml" "${SETTINGS}"
        put_back "${LOCK}.before/gemini-key" "${CONFIG}/gemini-key"
        for each in "${KEYS}"/*; do
            [ -e "${LOCK}.before/keys/${each##*/}" ] || rm -f "${each}"
        done
        for each in "${LOCK}.before/keys"/*; do
            [ ! -f "${each}" ] || put_back "${each}" "${KEYS}/${each##*/}"
        done
    fi
    for each in ${made}; do
        rm -f "${CONFIG}/${each}"
    done
    [ "${had_keys}" = yes ] || rm -rf "${KEYS}"
    [ "${had_config}" = yes ] || rm -rf "${CONFIG}"
    if [ -z "${previous}" ]; then
        remove_program
        [ "${had_state}" = yes ] || rm -rf "${STATE}" "${STATE_LINK}"
        return
    fi
    if [ "${undo}" = all ]; then
        owe restart
        put_in_place "${previous}" "${own_port:=${DEFAULT_PORT}}"
        run_units "${own_port}" ''
        if [ -n "${fault}" ] && [ -n "${kept}" ]; then
            restore_chats
            run_units "${own_port}" ''
        fi
        if [ -z "${fault}" ]; then
            rm -f "${OWED}" "${kept}"
        else
            complain "The old version does not start either: ${fault}. See: journalctl -u kindle-appliance"
        fi
    fi
    [ -z "${built}" ] || rm -rf "${built}"
}

# Puts back a file ($2) from its copy ($1). If that fails, such as on a full disk, the file stays as it is.
put_back() {
    ! cmp -s "$1" "$2" || return 0
    if cp -a "$1" "${CONFIG}/put-back.new"; then
        mv "${CONFIG}/put-back.new" "$2"
    else
        rm -f "${CONFIG}/put-back.new"
        complain "$2 could not be put back as it was."
    fi
}

# Restores the chats from before the upgrade, for the old version; nothing is kept of what the new one has made of them.
# The new version's program does it: an old one may follow a link that lies in the service's folder.
restore_chats() {
    "${folder}/bin/kindle-appliance" restore --roll-back "${kept}" > /dev/null
}

remove_program() {
    rm -f "${OWED}"
    systemctl --quiet disable --now "${SOCKET}" "${SERVICE}" 2> /dev/null || :
    rm -f "${UNITS}/${SERVICE}" "${UNITS}/${SOCKET}" "${PORT_FILE}"
    rmdir "${PORT_FILE%/*}" 2> /dev/null || :
    found=$(readlink -- "${COMMAND}") || found=''
    case ${found} in
        "${PROGRAM}"/*) rm -f "${COMMAND}" ;;
        *) ;;
    esac
    rm -rf "${PROGRAM}"
    systemctl daemon-reload || :
    systemctl reset-failed "${SOCKET}" "${SERVICE}" 2> /dev/null || :
}

# ---- The closing report

say_done() {
    suffix=''
    [ "${port}" = 80 ] || suffix=:${port}
    step "Type this into the Kindle's browser"
    addresses=$(list_addresses)
    if [ -z "${addresses}" ]; then
        say "This machine has no network yet. Connect it; then the address is what hostname -I says."
        return
    fi
    echo "${addresses}" | while read -r address device hardware; do
        say "    http://${address}${suffix}/"
        names=$(names_from_router "${address}")
        for each in ${names}; do
            ask_health "${port}" "${each}"
            hint=''
            [ -n "${said}" ] || hint="; first add \"${each}\" to hosts in ${SETTINGS}"
            say "    http://${each}${suffix}/   (so your router calls this machine${hint})"
        done
    done
    find_announced_name
    [ -z "${announced}" ] || say "    http://${announced}${suffix}/   (on devices that look for such names; old Kindles do not)"
    echo
    say "So that the first address stays, reserve it in your router for this machine's hardware address:"
    echo "${addresses}" | while read -r address device hardware; do
        say "    ${address}   ${hardware} (${device})"
    done
    name_firewall
    say "Look after it with: sudo kindle-appliance doctor"
}

# Lists the addresses at which the house can reach this machine, best first, each with its device and hardware address.
list_addresses() {
    "${folder}/bin/python" -IBc '
from pathlib import Path
from kindle_appliance.host.network import interfaces, lan_address, of_the_house
best = lan_address()
for each in sorted(of_the_house(interfaces()), key=lambda each: each.address != best):
    hardware = Path("/sys/class/net", each.name, "address")
    print(each.address, each.name, hardware.read_text().strip() if hardware.is_file() else "unknown")
'
}

# Lists the names that the router's DNS gives for an address and resolves back to it. The files of this machine itself
# (/etc/hosts) are not asked.
names_from_router() {
    export RES_OPTIONS='timeout:1 attempts:1'
    getent --service=dns hosts "$1" | while read -r _ names; do
        for each in ${names}; do
            case ${each} in
                *[!A-Za-z0-9.-]*) ;;  # not a valid host name
                *) ! getent --service=dns ahostsv4 "${each}" | grep -q "^$1 " || echo "${each}" ;;
            esac
        done
    done
}

# Waits until the appliance has announced its name, which takes a moment: sets `announced`, empty if there is none.
find_announced_name() {
    announced=''
    for _ in 1 2 3 4 5 6; do
        ask_health "${port}" localhost mdns state
        case ${said} in
            up)
                ask_health "${port}" localhost mdns name
                announced=${said}
                return
                ;;
            probing) sleep 1 ;;
            *) return ;;
        esac
    done
}

name_firewall() {
    firewall='' remedy="let TCP port ${port} in"
    if ufw status 2> /dev/null | grep -q '^Status: active'; then
        firewall=ufw remedy="sudo ufw allow ${port}/tcp"
    elif firewall-cmd --quiet --state 2> /dev/null; then
        firewall=firewalld remedy="sudo firewall-cmd --permanent --add-port=${port}/tcp, and --reload"
    elif nft list ruleset 2> /dev/null | grep -q 'hook input.*policy drop'; then
        firewall=nftables
    fi
    [ -z "${firewall}" ] || say "The firewall ${firewall} is active on this machine. For Kindles to come in: ${remedy}"
}

# ---- Messages

step() {
    number=$((number + 1))
    printf '\n%d. %s\n' "${number}" "$1"
}

say() {
    printf '  %s\n' "$1"
}

complain() {
    printf 'install.sh: %s\n' "$1" >&2
}

fail() {
    complain "$1"
    exit 1
}

main "$@"
