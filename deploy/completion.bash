# bash completion for vdiskck
# SPDX-License-Identifier: Apache-2.0
# Commands and options are asked from the program itself, so that they can't be out of date.

_vdiskck()
{
	local cur=$2 prev=$3 program=$1
	COMPREPLY=()
	case $prev in
	--chain | --header | -o | --output)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--progress | --guest)
		mapfile -t COMPREPLY < <(compgen -W "auto yes no" -- "$cur")
		return
		;;
	esac
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "$("$program" --help 2>/dev/null |
			sed -n 's/^  \([a-z]*\) .*/\1/p') --help --version" -- "$cur")
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$("$program" "${COMP_WORDS[1]}" --help 2>/dev/null |
			sed -n 's/^  \(-[-a-zA-Z]*\) .*/\1/p')" -- "$cur")
	elif [ "${COMP_WORDS[1]}" = explain ]; then
		mapfile -t COMPREPLY < <(compgen -W "$("$program" explain 2>/dev/null |
			sed -n 's/^  \([a-z0-9-]*\)  .*/\1/p')" -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -o filenames -F _vdiskck vdiskck
