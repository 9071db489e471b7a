#!/usr/bin/env perl
# SPDX-License-Identifier: Apache-2.0
# mechanical.pl INCLUDE COUNT HEADER...   prints COUNT mechanical mutants of these headers, in the format of mutants.pm
#
# The headers take turns; which of its mutants a header gives first hangs on their names alone.
# Inside of functions: comparisons, + - * /, && ||, the literals 0 1 2 true false, += -= *= /=, statements dropped, the
# first two arguments swapped. Not what checks options and throws (the unit tests hold that), not what is constexpr.
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use FindBin;
use lib $FindBin::Bin;
use mutants;

my $balanced = qr/(\((?:[^()]++|(?-1))*+\))/;
my %swap = ('<' => '<=', '<=' => '<', '>' => '>=', '>=' => '>', '==' => '!=', '!=' => '==', '+' => '-', '-' => '+',
            '*' => '/', '/' => '*', '&&' => '||', '||' => '&&', '+=' => '-=', '-=' => '+=', '*=' => '/=', '/=' => '*=');
my %literal = ('0' => '1', '1' => '0', '2' => '1', '0.0' => '1.0', '1.0' => '0.0', '2.0' => '1.0', 'true' => 'false',
               'false' => 'true');

sub blank { my ($t) = @_; $t =~ s/[^\n]/ /g; return $t; }

# The text with comments, strings, directives and what is not mutated as blanks, all in their places.
sub code_of {
    my ($t) = @_;
    $t =~ s{(//[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|^[ \t]*\#[^\n]*)}{blank($1)}gem;
    $t =~ s{(\bif $balanced\s*(?:\{\s*)?throw[^;]*;)}{blank($1)}ge;
    my $checks = qr/\b(?:detail::)?(?:require|check)_?\w*(?:<\w+>)?$balanced;|\bthrow_\w+$balanced;/;
    my $fixed = qr/\bif constexpr $balanced|\bstatic_assert$balanced|\b(?:static )?constexpr [^;\{]*;/;
    my $types = qr/\btemplate <[^\n]*|\busing [^;]*;|\w\[\d\](?= = \{)/;
    $t =~ s{($checks|$fixed|$types)}{blank($1)}ge;
    return $t;
}

# What stands in the bodies of functions, the rest as blanks.
sub bodies_of {
    my ($t) = @_;
    my ($made, @kinds) = ('');
    my $head = '';
    for my $c (split //, $t) {
        if ($c eq '{') {
            my $inside = @kinds && $kinds[-1] =~ /body|quiet/;
            my $scope = $head =~ /\b(?:struct|class|enum|namespace|union)\b/ && $head !~ /\)/;
            my $function = !$scope && $head =~ /\)/;
            my $quiet = $head =~ /\b(?:check\w*|require\w*|traits|capacity_traits|\w+_text)\(/;
            push @kinds, $inside ? $kinds[-1] : $function ? ($quiet ? 'quiet' : 'body') : 'scope';
            $head = '';
        } elsif ($c eq '}') {
            pop @kinds;
            $head = '';
        } elsif ($c eq ';') {
            $head = '';
        } else {
            $head .= $c;
        }
        $made .= $c eq "\n" || (@kinds && $kinds[-1] eq 'body') ? $c : ' ';
    }
    return $made;
}

# Template brackets have no space beside them, comparisons have.
sub opens {
    my ($t, $i) = @_;
    return substr($t, $i, 1) =~ /[(\[{]/ || substr($t, $i - 1, 3) =~ /^\w<[\w:]/;
}
sub closes {
    my ($t, $i) = @_;
    return substr($t, $i, 1) =~ /[)\]}]/ || substr($t, $i - 1, 2) =~ /^[^\s>=-]>/;
}

# The places where the whole expression around [from, to) begins and ends.
sub expression {
    my ($t, $from, $to) = @_;
    my ($depth, $i) = (0, $from - 1);
    for (; $i >= 0; --$i) {
        if (closes($t, $i)) { ++$depth; next; }
        if (opens($t, $i)) { last if $depth-- == 0; next; }
        next if $depth;
        my $c = substr $t, $i, 1;
        last if $c =~ /[,;?]/ || substr($t, $i - 1, 3) =~ /^(?: : |[^<>=!]= )/;
        last if substr($t, 0, $i + 1) =~ /\breturn\z/;
    }
    my $begin = $i + 1;
    for ($depth = 0, $i = $to; $i < length $t; ++$i) {
        if (opens($t, $i)) { ++$depth; next; }
        if (closes($t, $i)) { last if $depth-- == 0; next; }
        next if $depth;
        my $c = substr $t, $i, 1;
        last if $c =~ /[,;?]/ || substr($t, $i - 1, 3) eq ' : ';
    }
    my $end = $i;
    ++$begin while substr($t, $begin, 1) =~ /\s/;
    --$end while substr($t, $end - 1, 1) =~ /\s/;
    return ($begin, $end);
}

my $postfix = qr/\*?[\w:]+(?:\.\w+|->\w+|::\w+|<[\w:, ]+>|\[(?:[^\[\]]|\[[^\]]*\])*\]|$balanced)*/;

# Calls f(from, to, new text, what) for every mutant of the code.
sub each_mutant {
    my ($t, $text, $f) = @_;
    my $changed = sub {
        my ($from, $to, $new, $what) = @_;
        my ($begin, $end) = expression($t, $from, $to);
        $f->($begin, $end, substr($text, $begin, $from - $begin) . $new . substr($text, $to, $end - $to), $what);
    };
    while ($t =~ /(?<= )(<=|>=|==|!=|<|>|\+|-|\*|\/|&&|\|\|)(?= )/g) {
        $changed->($-[1], $+[1], $swap{$1}, "$1 becomes $swap{$1}");
    }
    while ($t =~ /(?<![\w.\-])([012](?:\.0)?|true|false)(?![\w.])/g) {
        $changed->($-[1], $+[1], $literal{$1}, "$1 becomes $literal{$1}");
    }
    my $statement = qr/$postfix(?: [-+*\/|]?= [^;]*)?|(?:\+\+|--)$postfix|continue|break|return/;
    while ($t =~ /(?:^|\) |else |\{ )[ \t]*((?:$statement);)/gm) {
        my ($from, $to, $found) = ($-[1], $+[1], $1);
        next if $found =~ /^(?:return|throw|else|public|private)\b(?!;)/;
        $f->($from, $to, '', 'dropped');
        next unless $found =~ /^(\S+ )([-+*\/]=)( .*)$/s;
        $f->($from, $to, "$1$swap{$2}$3", "$2 becomes $swap{$2}");
    }
    while ($t =~ /(?<![\w:.>])((?:[\w:.]|->|<[\w:, ]+>)*\w)\((\w+), (\w+)(?=[,)])/g) {
        my ($callee, $a, $b, $from) = ($1, $2, $3, $-[1]);
        next if $a eq $b || $callee =~ /^(?:if|for|while|switch|return)$/ || "$a$b" =~ /^\d/;
        my $before = substr $t, 0, $from;
        next if $before =~ /[\w>]\s+\z/ && $before !~ /\b(?:return|else)\s+\z/;  # declares something
        substr($t, $from) =~ /^\Q$callee\E($balanced)/ or next;
        my $call = substr $text, $from, length($callee) + length $1;
        (my $new = $call) =~ s/\(\Q$a\E, \Q$b\E/($b, $a/;
        $f->($from, $from + length $call, $new, "$a and $b swapped");
    }
}

# The mutants of a header that can be found again by the lines around them.
sub mutants_of {
    my ($include, $header) = @_;
    my $text = mutants::slurp("$include/$header");
    my $t = bodies_of(code_of($text));
    my %block;
    each_mutant($t, $text, sub {
        my ($from, $to, $new, $what) = @_;
        my $old = substr $text, $from, $to - $from;
        return if $old =~ /\bconstexpr\b|"|\{/ || $old !~ /\S/;
        my $begin = rindex($text, "\n", $from) + 1;
        my $end = index $text, "\n", $to;
        my $near = substr $text, $begin, $end - $begin;
        for (1 .. 3) {
            last if 1 == (() = $text =~ /\Q$near\E/g);
            $begin = rindex($text, "\n", $begin - 2) + 1;
            $near = substr $text, $begin, $end - $begin;
        }
        return if $near =~ /\n\s*\n/ || $near =~ m{//|^\S}m;
        $near =~ s/^\s+//;
        return unless 1 == (() = $text =~ /\Q$near\E/g) && 1 == (() = $near =~ /\Q$old\E/g);
        (my $short = $old) =~ s/\s+/ /g;
        my $name = "$header: $short: $what";
        $block{$name} //= "name  $name\nfile  $header\nnear  $near\nold   $old\nnew   $new\n\n";
    });
    return map { $block{$_} } sort { md5_hex($a) cmp md5_hex($b) } keys %block;
}

my ($include, $count, @headers) = @ARGV;
my @queues = map { [mutants_of($include, $_)] } @headers;
while ($count > 0 && (@queues = grep { @$_ } @queues)) {
    for my $queue (@queues) { print shift @$queue if $count-- > 0; }
}
