#!/usr/bin/env perl
# SPDX-License-Identifier: Apache-2.0
# mutants.pl plant INCLUDE WORK NAME LIST FILE...
#     WORK/include: the headers with all mutants whose name matches and, unless LIST is empty, stands in the file LIST;
#     without those in WORK/dropped. WORK/list: number and name of each
# mutants.pl drop WORK LOG...          adds to WORK/dropped what the compiler's messages in LOG.log name
# mutants.pl judge SURVIVORS TABLE     counts; fails if others survived than those in SURVIVORS, or more than 5 %
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use mutants;

my %wanted_of = (plant => \&plant, drop => \&drop, judge => \&judge);
my $mode = shift // '';
my $run = $wanted_of{$mode} or die "usage: mutants.pl plant|drop|judge ...\n";
$run->(@ARGV);

sub lines { my ($p) = @_; return map { s/\s+$//r } grep { !/^#/ && /\S/ } split /\n/, mutants::slurp($p); }

sub plant {
    my ($include, $work, $name, $list, @files) = @_;
    my @all = mutants::blocks(@files);
    @all = grep { $_->{name} =~ /$name/ } @all;
    if ($list ne '') {
        my %named = map { $_ => 1 } lines($list);
        @all = grep { delete $named{$_->{name}} } @all;
        die "$list: there is no mutant called '$_'\n" for sort keys %named;
    }
    @all or die "no mutant matches\n";
    mutants::spill("$work/list", join '', map { "$_->{number} $_->{name}\n" } @all);
    my %dropped = map { $_ => 1 } lines("$work/dropped");
    my %of_file;
    push @{$of_file{$_->{file}}}, $_ for @all;
    system('rm', '-rf', "$work/include") == 0 or die "rm failed\n";
    system('cp', '-r', $include, "$work/include") == 0 or die "cp failed\n";
    for my $file (sort keys %of_file) {
        my $text = mutants::slurp("$include/$file");
        mutants::locate($text, @{$of_file{$file}});
        my @planted = grep { !$dropped{$_->{number}} } @{$of_file{$file}};
        mutants::spill("$work/include/$file", mutants::planted($text, $file, 0, length $text, @planted));
    }
}

sub drop {
    my ($work, @logs) = @_;
    my (%dropped, $other);
    for my $log (@logs) {
        for (split /\n/, mutants::slurp("$log.log")) {
            if (/^mutant-(\d+):.*error:/) { $dropped{$1} = 1; }
            elsif (/error:/) { $other //= "$log: $_"; }
        }
    }
    my %before = map { $_ => 1 } lines("$work/dropped");
    my @new = grep { !$before{$_} } sort { $a <=> $b } keys %dropped;
    @new or die 'the copy does not compile: ', $other // "see $logs[0].log", "\n";
    mutants::spill("$work/dropped", join '', map { "$_\n" } sort { $a <=> $b } keys %before, @new);
}

# A reason begins with `equivalent:` where no input can tell the mutant, with `unseen:` where the suite does not.
sub judge {
    my ($survivors, $table) = @_;
    my (%reason, %count, %law);
    for (lines($survivors)) {
        my ($name, $why) = split / \| /, $_, 2;
        defined $why && $why =~ /^(?:equivalent|unseen): ./ or die "$survivors: no reason in '$_'\n";
        $reason{$name} = $why;
    }
    my $bad = 0;
    for (split /\n/, mutants::slurp($table)) {
        /^(killed|survived|does not compile)\s+(.*?)(?: \| ([^|]*) \| .*)?(?: \| no test comes by)?$/
            or die "cannot read '$_'\n";
        my ($verdict, $name, $by) = ($1, $2, $3);
        if ($verdict eq 'survived' && !exists $reason{$name}) { ++$bad; print "no reason to survive: $name\n"; }
        elsif ($verdict eq 'survived' && $reason{$name} =~ /^equivalent/) { $verdict = 'equivalent'; }
        elsif ($verdict eq 'killed' && exists $reason{$name}) { ++$bad; print "no longer survives: $name\n"; }
        ++$count{$verdict};
        my %once = map { $_ => 1 } split /, /, $by // '';
        ++$law{$_} for keys %once;
    }
    print "by ", join(', ', map { "$_ $law{$_}" } sort { $law{$b} <=> $law{$a} || $a cmp $b } keys %law), "\n";
    my ($killed, $survived) = map { $count{$_} // 0 } qw(killed survived);
    my $share = $killed + $survived ? 100 * $killed / ($killed + $survived) : 0;
    print join(', ', map { "$count{$_} $_" } sort keys %count), sprintf("; %.1f %% of those that matter\n", $share);
    exit($bad || $share < 95 ? 1 : 0);
}
