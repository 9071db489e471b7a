#!/usr/bin/env perl
# SPDX-License-Identifier: Apache-2.0
# mutants.pl plant INCLUDE WORK NAME FILE...   makes WORK/mutant-N with a changed copy of the headers for every mutant
# mutants.pl make INCLUDE COUNT HEADER=LAWS... prints COUNT mechanical mutants of these headers, evenly spread
# mutants.pl judge SURVIVORS TABLE             fails if other mutants survived than those in SURVIVORS
#
# A mutant is a block of lines, blocks are separated by empty lines; `old` must stand exactly once in the file:
#   name  what is wrong
#   file  moe/core/order.hpp
#   laws  selectors route_steps        files of tests/testing, tried in this order
#   old   text
#   new   text                         further lines of old and new follow as they stand, indented
use strict;
use warnings;

sub slurp { my ($p) = @_; open my $f, '<', $p or die "$p: $!\n"; local $/; return scalar <$f>; }
sub spill { my ($p, $t) = @_; open my $f, '>', $p or die "$p: $!\n"; print $f $t; close $f; }

sub blocks {
    my @all;
    for my $path (@_) {
        for my $block (split /\n\s*\n/, slurp($path)) {
            my (%m, $last);
            for my $line (split /\n/, $block) {
                next if $line =~ /^#/ || $line !~ /\S/;
                if ($line =~ /^    / && defined $last) { $m{$last} .= "\n$line"; next; }
                $line =~ /^(name|file|laws|old|new)(?:\s\s?(.*))?$/ or die "$path: cannot read '$line'\n";
                my ($key, $text) = ($1, $2 // '');
                $text =~ s/^\s+// unless $key eq 'old' || $key eq 'new';
                $m{$key} = $text;
                $last = $key;
            }
            next unless %m;
            s/^\s+// for grep { defined } @m{qw(old new)};
            defined $m{$_} or die "$path: a mutant without '$_'\n" for qw(name file laws old new);
            push @all, \%m;
        }
    }
    return @all;
}

my $mode = shift // '';
if ($mode eq 'plant') {
    my ($include, $work, $wanted, @files) = @ARGV;
    my $n = 0;
    for my $m (blocks(@files)) {
        next unless $m->{name} =~ /$wanted/;
        my $folder = sprintf '%s/mutant-%04d', $work, $n++;
        mkdir $folder or die "$folder: $!\n";
        my $text = slurp("$include/$m->{file}");
        my $found = () = $text =~ /\Q$m->{old}\E/g;
        $found == 1 or die "$m->{name}: '$m->{old}' stands $found times in $m->{file}\n";
        $text =~ s/\Q$m->{old}\E/$m->{new}/;
        system('cp', '-r', $include, "$folder/include") == 0 or die "cp failed\n";
        spill("$folder/include/$m->{file}", $text);
        spill("$folder/name", $m->{name});
        spill("$folder/laws", $m->{laws});
    }
} elsif ($mode eq 'make') {
    my ($include, $count, @targets) = @ARGV;
    my @swaps = (
        ['<=', '<'], [' < ', ' <= '], ['>=', '>'], [' > ', ' >= '], ['==', '!='], ['!=', '=='], ['&&', '||'], ['||', '&&'],
        [' + 1', ' + 2'], [' - 1', ''], [' + ', ' - '], [' - ', ' + '], [' * ', ' / '], [' / ', ' * '], ['+=', '-='],
        ['T(0)', 'T(1)'], ['T(1)', 'T(0)'], ['true', 'false'], ['false', 'true'], ['++', '--'], ['begin(', 'end('],
    );
    my @made;
    for my $target (@targets) {
        my ($file, $laws) = split /=/, $target;
        my $text = slurp("$include/$file");
        my $number = 0;
        for my $line (split /\n/, $text) {
            ++$number;
            next if $line =~ m{^\s*(//|#|template|static_assert|using|struct|class|private|public|throw)} || $line =~ /throw_|static constexpr|"/;
            (my $code = $line) =~ s{\s*//.*$}{};
            my @changed;
            for my $swap (@swaps) {
                my ($from, $to) = @$swap;
                my $at = index $code, $from;
                next if $at < 0;
                next if $from eq ' < ' && $code =~ /template/;
                my $new = $code;
                substr($new, $at, length $from) = $to;
                push @changed, ["'$from' becomes '$to'", $new];
            }
            # A call or an assignment on a line of its own is dropped.
            push @changed, ['dropped', ''] if $code =~ /^\s+[\w.:\[\]()>*&<-]+(\s*[-+*\/]?=\s|\().*;$/ && $code !~ /^\s+(return|const|auto|for|if|else)\b/;
            # The first two plain arguments of a call change places.
            if ($code =~ /^(.*\w\()(\w+), (\w+)([,)].*)$/ && $2 ne $3) { push @changed, ["arguments $2 and $3 swapped", "$1$3, $2$4"]; }
            for my $c (@changed) {
                my ($what, $new) = @$c;
                # The line must be unique to be found again.
                my $times = () = $text =~ /\Q$line\E/g;
                next if $times != 1;
                push @made, "name  $file:$number $what\nfile  $file\nlaws  $laws\nold  $line\nnew  $new\n";
            }
        }
    }
    $count = @made if $count > @made;
    print "# ", scalar(@made), " possible, $count taken\n\n";
    print $made[int($_ * @made / $count)], "\n" for 0 .. $count - 1;
} elsif ($mode eq 'judge') {
    my ($survivors, $table) = @ARGV;
    my (%reason, %count);
    for (split /\n/, slurp($survivors)) {
        next if /^#/ || !/\S/;
        my ($name, $why) = split /\s+=\s+/, $_, 2;
        defined $why or die "$survivors: no reason in '$_'\n";
        $reason{$name} = $why;
    }
    my $bad = 0;
    for (split /\n/, slurp($table)) {
        /^(killed|survived|does not compile)\s+(.*)$/ or die "cannot read '$_'\n";
        my ($verdict, $name) = ($1, $2);
        $name =~ s/ by \w+: .*$//;
        if ($verdict eq 'survived' && exists $reason{$name}) { $verdict = 'equivalent'; print "expected: $name ($reason{$name})\n"; }
        elsif ($verdict eq 'survived') { ++$bad; }
        elsif ($verdict eq 'killed' && exists $reason{$name}) { ++$bad; print "no longer survives: $name\n"; }
        ++$count{$verdict};
    }
    print join(', ', map { "$count{$_} $_" } sort keys %count), "\n";
    exit($bad ? 1 : 0);
} else {
    die "usage: mutants.pl plant|make|judge ...\n";
}
