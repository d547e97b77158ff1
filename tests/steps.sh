# What a script that checks things is made of: steps that end by themselves, what they need, and a summary.
#
# What could not be installed is named, and what needs it is skipped; under CI=true that is a failure.

passed=0 failed=0 lines=() missing=()

report() { # STATE NAME SECONDS [NOTE]
    lines+=("$(printf '%-8s %5ss  %s%s' "$1" "$3" "$2" "${4:+ ($4)}")")
    case $1 in
        ok) passed=$((passed + 1)) ;;
        FAILED) failed=$((failed + 1)) ;;
    esac
}

# Each step is a process group of its own: when it ends, or runs for too long, nothing of it is left.
group=
end_group() { [ -n "$group" ] && kill -KILL -- "-$group" 2>/dev/null; group=; }
trap 'end_group; exit 130' INT TERM HUP
trap end_group EXIT

run() { # LIMIT COMMAND...
    local limit=$1; shift
    set -m
    timeout --kill-after=10 "$limit" "$@" &
    group=$!
    set +m
    wait "$group"
    local code=$?
    end_group
    [ $code = 124 ] && echo "ran for more than $limit s"
    return $code
}

step() { # NAME LIMIT COMMAND...
    local name=$1 limit=$2 start=$SECONDS code; shift 2
    printf '\n== %s\n' "$name"
    run "$limit" "$@"
    code=$?
    if [ $code = 0 ]; then report ok "$name" $((SECONDS - start)); else report FAILED "$name" $((SECONDS - start)); fi
    return $code
}

# A step without which others are skipped: what cannot be had fails nothing but CI.
install() { # WHAT LIMIT COMMAND...
    local what=$1 limit=$2 start=$SECONDS; shift 2
    printf '\n== %s\n' "$what"
    if run "$limit" "$@"; then report ok "$what" $((SECONDS - start)); return; fi
    missing+=("$what")
    echo "could not install $what"
    return 1
}

skip() { # NAME WHY
    printf '\n== %s: skipped, %s\n' "$1" "$2"
    if [ "${CI-}" = true ]; then report FAILED "$1" 0 "$2"; else report skipped "$1" 0 "$2"; fi
}

has() { command -v "$1" >/dev/null 2>&1; }

# Installs the PACKAGEs unless COMMAND is there; a command of more than one word is run to see.
updated=
there() { case $1 in *' '*) $1 >/dev/null 2>&1 ;; *) has "$1" ;; esac; }
need() { # COMMAND PACKAGE...
    there "$1" && return
    if has apt-get && [ "$(id -u)" = 0 ]; then
        [ -n "$updated" ] || run 300 apt-get -qq update >/dev/null
        updated=1
        run 600 env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${@:2}" >/dev/null
    fi
    there "$1" || { missing+=("$2"); echo "could not install $2: $1 is missing"; return 1; }
}

# The same for a COMMAND that comes with a service, which must not start: it would take ports of this machine.
need_idle() { # COMMAND PACKAGE...
    local policy=/usr/sbin/policy-rc.d made= code
    if [ "$(id -u)" = 0 ] && [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && made=1
    fi
    need "$@"
    code=$?
    [ -z "$made" ] || rm -f $policy
    return $code
}

# Ends a script: a line for each step, what was missing, and whether all is well.
summary() {
    printf '\n== summary\n'
    printf '%s\n' "${lines[@]}"
    if [ ${#missing[@]} -gt 0 ]; then
        echo "could not install: ${missing[*]}"
        [ "${CI-}" = true ] && failed=$((failed + 1))
    fi
    printf '\n%s passed, %s failed\n' "$passed" "$failed"
    [ "$failed" = 0 ]
}
