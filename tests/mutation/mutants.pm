# SPDX-License-Identifier: Apache-2.0
# tests/mutation: the format of *.mutants, and headers with many mutants in them of which at most one is active
#
# A mutant is a block of lines, blocks are separated by empty lines:
#   name  what is wrong
#   file  moe/core/order.hpp
#   near  text                 optional: stands once in the file and holds `old` once
#   old   text                 statements, up to their `;` or `}`, or an expression; stands once in the file (in `near`)
#   new   text                 what stands there instead
# Further lines of near, old and new follow as they stand, indented.
package mutants;
use strict;
use warnings;

sub slurp { my ($p) = @_; open my $f, '<', $p or die "$p: $!\n"; local $/; return scalar <$f>; }
sub spill { my ($p, $t) = @_; open my $f, '>', $p or die "$p: $!\n"; print $f $t; close $f; }

# The mutants of these files, numbered from 1.
sub blocks {
    my @all;
    for my $path (@_) {
        for my $block (split /\n\s*\n/, slurp($path)) {
            my (%m, $last);
            for my $line (split /\n/, $block) {
                next if $line =~ /^#/ || $line !~ /\S/;
                if ($line =~ /^    / && defined $last) { $m{$last} .= "\n$line"; next; }
                $line =~ /^(name|file|near|old|new)(?:\s+(.*))?$/ or die "$path: cannot read '$line'\n";
                $last = $1;
                $m{$last} = $2 // '';
            }
            next unless %m;
            defined $m{$_} or die "$path: a mutant without '$_'\n" for qw(name file old new);
            push @all, {%m, number => @all + 1};
        }
    }
    my %times;
    $times{$_->{name}}++ && die "two mutants are called '$_->{name}'\n" for @all;
    return @all;
}

# Where `part` stands in `text`, which must be once.
sub place {
    my ($name, $text, $part, $where) = @_;
    my $found = () = $text =~ /\Q$part\E/g;
    $found == 1 or die "$name: '$part' stands $found times in $where\n";
    return index $text, $part;
}

# Sets from and to, the places of `old` in the text.
sub locate {
    my ($text, @all) = @_;
    for my $m (@all) {
        my $from = defined $m->{near} ? place($m->{name}, $text, $m->{near}, $m->{file}) : 0;
        $from += place($m->{name}, $m->{near} // $text, $m->{old}, defined $m->{near} ? "'$m->{near}'" : $m->{file});
        @$m{qw(from to)} = ($from, $from + length $m->{old});
    }
}

sub line_of { my ($text, $at) = @_; return 1 + (substr($text, 0, $at) =~ tr/\n//); }

# The text of [from, to) with its mutants in it; those inside of another's `old` stand in the unmutated branch.
# Compilers name the new text mutant-N, so that one that does not compile is known.
sub planted {
    my ($text, $file, $from, $to, @all) = @_;
    my ($made, $at) = ('', $from);
    @all = sort { $a->{from} <=> $b->{from} || $b->{to} <=> $a->{to} || $a->{number} <=> $b->{number} } @all;
    while (@all) {
        my $m = shift @all;
        my @inside;
        while (@all && $all[0]{from} < $m->{to}) {
            my $n = shift @all;
            $n->{to} <= $m->{to} or die "'$m->{name}' and '$n->{name}' overlap: neither `old` holds the other\n";
            push @inside, $n;
        }
        $made .= substr $text, $at, $m->{from} - $at;
        my $old = planted($text, $file, $m->{from}, $m->{to}, @inside);
        my $new = "\n#line 1 \"mutant-$m->{number}\"\n$m->{new}\n#line " . line_of($text, $m->{from}) . " \"$file\"\n";
        my $on = "::moe_mutation::on($m->{number})";
        $made .= $m->{old} =~ /[;}]$/ ? "{ if ($on) {$new} else { $old } }" : "($on ? ($new) : ($old))";
        $at = $m->{to};
    }
    return $made . substr $text, $at, $to - $at;
}

1;
