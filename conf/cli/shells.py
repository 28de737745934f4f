"""Completion functions of shells; each passes the line up to the cursor to ``pixelproof --complete``."""

BASH = r"""
_pixelproof() {
    local line=${COMP_LINE:0:COMP_POINT} word cut= found
    word=${line##* }
    # readline replaces only what is behind the last separator of words
    [[ $COMP_WORDBREAKS == *=* && $word == *=* ]] && cut=${word%=*}=
    [[ $COMP_WORDBREAKS == *:* && $word == *:* && ${#cut} -lt $((${#word} - ${#word##*:})) ]] && cut=${word%:*}:
    COMPREPLY=()
    while IFS= read -r found; do
        [[ -n $found ]] && COMPREPLY+=("${found#"$cut"}")
    done < <("${1/#\~/$HOME}" --complete "$line" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=./] ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _pixelproof pixelproof
"""

ZSH = r"""
_pixelproof() {
    local -a found
    found=("${(@f)$(${~words[1]} --complete "${(j: :)words[1,CURRENT-1]} ${(Q)PREFIX}" 2>/dev/null)}")
    found=(${found:#})
    # -U: the words begin with what was typed, which zsh itself does not see behind an escaped [
    compadd -U -S '' -- ${(M)found:#*[=./]}
    compadd -U -- ${found:#*[=./]}
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _pixelproof pixelproof
"""

FISH = r"""
function __pixelproof_complete
    set -l words (commandline -opc)
    set -l line (string join ' ' -- (string escape -- $words) (commandline -ct))
    eval (string escape -- $words[1]) --complete (string escape -- $line) 2>/dev/null
end
complete -c pixelproof -f -a '(__pixelproof_complete)'
"""

SCRIPTS = {"bash": BASH.strip(), "zsh": ZSH.strip(), "fish": FISH.strip()}
