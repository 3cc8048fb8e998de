"""The explorers as a site for a class: pages, the processes behind them, and the server (``ponita-edu app``)."""
