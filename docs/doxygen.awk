# SPDX-License-Identifier: Apache-2.0
# What Doxygen reads instead of a header: the contract at the top of the file becomes the documentation of the first public
# type or function, comments before declarations and behind members become theirs.
function flush_held() { for (i = 1; i <= held; ++i) print hold[i]; held = 0 }

BEGIN { top = 1; first = 1; placed = 0; hidden = 0; held = 0 }

top && /^\/\/ SPDX/ { print ""; next }
top && /^\/\// { text = substr($0, 3); sub(/^ /, "", text); contract = contract (first ? "" : "\n") text; first = 0; print ""; next }
top && /^#pragma once/ { top = 0; print; next }

/^namespace detail \{/ { hidden = 1 }
/^\}  \/\/ namespace detail/ { hidden = 0 }

# The lines in front of a declaration wait until its name is seen.
!hidden && !placed && /^(template|    requires|requires)/ { hold[++held] = $0; next }
!hidden && !placed && (/^(enum|using)/ || (/^(struct|class|concept|inline|constexpr|MOE_FN|[a-zA-Z_:<>]+ [a-z_]+\()/ && !/;$/)) {
    # `* /` and `@` would end or change the comment.
    gsub(/\*\//, "* /", contract)
    printf "/** \\verbatim\n%s\n\\endverbatim */ ", contract
    placed = 1
    flush_held()
    print
    next
}
held { flush_held() }

/^(    )?\/\/ / { sub(/\/\/ /, "/// "); print; next }
/^    [^ \/].*;  *\/\/ / { sub(/\/\/ /, "///< "); print; next }
{ print }
