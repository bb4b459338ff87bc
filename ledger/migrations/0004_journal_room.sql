-- Room to change a snapshot where it stands: a bet's is written when it was placed and when it was
-- settled, a wallet's again and again. A change elsewhere costs a second entry in the index.
alter table snapshot set (fillfactor = 60);
